"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib
import tempfile


@contextlib.contextmanager
def atomic_file(path):
    """Yield the path of an empty file that takes the place of ``path`` once the block has ended without an error.

    It lies in the same folder, so that it can be renamed; it reaches the disk before it is. Whatever goes wrong before,
    a killed process and a full disk among it, the file at ``path`` stays as it is. A process that is killed leaves the
    unfinished file behind, whose name begins with a dot and ends in ``.tmp``.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    unfinished : Path

    Raises
    ------
    OSError
        If the folder is missing or full, or may not be written to.
    """
    path = pathlib.Path(os.path.realpath(path))  # through a link, which stays one
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        os.chmod(name, _mode(path))
        yield pathlib.Path(name)
        _to_disk(name)
        os.replace(name, path)
    except BaseException:
        pathlib.Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere folders cannot be opened
        _to_disk(path.parent)


def _mode(path):
    """Return the permissions of a file, or those of a new one."""
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _to_disk(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib
import secrets


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
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _mode(path)))
    try:
        yield unfinished
        _to_disk(unfinished)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere folders cannot be opened
        _to_disk(path.parent, os.O_RDONLY)


def _mode(path):
    """Return the permissions of a file, or what those of a new one are made from."""
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        return 0o666


def _to_disk(path, flags=os.O_RDWR):
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

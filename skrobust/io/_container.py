"""The file: a zip archive without compression that holds JSON, arrays, and their checksums."""

import hashlib
import zipfile

from skrobust._atomic import atomic_file

DESCRIPTION, ARRAYS, CHECKSUMS = NAMES = ("model.json", "arrays.safetensors", "SHA256SUMS")
# A year that zip archives know; files of equal content are equal.
DATE = (1980, 1, 1, 0, 0, 0)


def write_members(path, description, arrays):
    """Write the two parts of a file, bytes, and their checksums; whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; what was at the path stays there.
    """
    members = {DESCRIPTION: description, ARRAYS: arrays}
    members[CHECKSUMS] = _checksums(members)
    with atomic_file(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), content)


def read_members(file):
    """Return the two parts of a file, which is open.

    Raises
    ------
    ValueError
        If the file is not one that was written here, or not as it was written.
    """
    size = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        _check(archive.infolist(), size)
        members = {name: archive.read(name) for name in NAMES}
    if members.pop(CHECKSUMS) != _checksums(members):
        raise ValueError("its checksums do not match")
    return members[DESCRIPTION], members[ARRAYS]


def _check(entries, size):
    """Check that nothing is larger than the file, so that reading takes no more memory than the file has bytes."""
    if [entry.filename for entry in entries] != list(NAMES):
        raise ValueError(f"it does not hold {', '.join(NAMES)}")
    stored = all(entry.compress_type == zipfile.ZIP_STORED and entry.file_size >= 0 for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > size:
        raise ValueError("its parts are compressed or larger than the file")


def _checksums(members):
    """Return what the program sha256sum would say of the parts."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in members.items()]
    return "".join(lines).encode()

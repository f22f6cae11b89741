"""The files of the codec's commands: input is small enough to read, output is overwritten only on request."""

import os
from pathlib import Path

from siren_fastai.cli.errors import CommandError

__all__ = ["check_output", "read_coded"]


def read_coded(path: str, most: int) -> bytes:
    """The bytes of a compressed file. Raises: CommandError if there is none, or it has more than `most` bytes."""
    file = Path(path)
    if not file.is_file():
        raise CommandError(f"there is no file {path}")
    size = file.stat().st_size
    if size > most:
        raise CommandError(f"{path} has {size:,} bytes, but a .sirn file has at most {most:,}")
    return file.read_bytes()


def check_output(path: str, overwrite: bool, *sources: str) -> Path:
    """Check early that `path` is writable, creating its folder.

    Raises: CommandError if it exists and `overwrite` is False, if it is a folder, or if it is one of the `sources`;
    OSError if its folder cannot be written to.
    """
    file = Path(path)
    if file.is_dir():
        raise CommandError(f"{path} is a folder; name a file")
    for source in sources:
        if file.exists() and Path(source).exists() and file.samefile(source):
            raise CommandError(f"the output {path} would overwrite the input; choose another name")
    if file.exists() and not overwrite:
        raise CommandError(f"{path} already exists: give --y to overwrite it, or choose another name")
    file.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(file.parent))
    return file

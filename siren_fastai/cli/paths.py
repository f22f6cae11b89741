"""The files of commands: input is small enough to read, output is overwritten only on request."""

import os
from collections.abc import Iterable
from pathlib import Path

from siren_fastai.cli.errors import CommandError
from siren_fastai.files import check_writable

__all__ = ["check_output", "check_outputs", "kept_apart", "read_coded", "same_file"]

MAX_NAME_BYTES = 255  # on all common file systems


def read_coded(path: str, most: int) -> bytes:
    """The bytes of a compressed file. Raises: CommandError if there is none, or it has more than `most` bytes."""
    file = Path(path)
    if not file.is_file():
        raise CommandError(f"there is no file {path}")
    size = file.stat().st_size
    if size > most:
        raise CommandError(f"{path} has {size:,} bytes, but a .sirn file has at most {most:,}")
    return file.read_bytes()


def check_output(
    path: str | os.PathLike,  # a file to write
    overwrite: bool,  # whether an existing file may be replaced
    *sources: str | os.PathLike | None,  # files that the command reads
) -> Path:
    """Check before any work that `path` can be written.

    A device or a FIFO is written to without asking: nothing in it is lost.
    Raises: CommandError if it exists and `overwrite` is False, if it is a folder, one of the `sources`, or the file
    that the command prints to; OSError if it cannot be written.
    """
    file = Path(path)
    if file.is_dir():
        raise CommandError(f"{path} is a folder; name a file")
    for source in sources:
        if source is not None and same_file(file, source):
            raise CommandError(f"the output {path} would overwrite the input; choose another name")
    if file.is_file() and _is_printed_to(file):
        raise CommandError(f"{path} is the file that this command prints to; choose another name")
    if file.is_file() and not overwrite:
        raise CommandError(f"{path} already exists: give --y to overwrite it, or choose another name")
    check_writable(file)
    return file


def check_outputs(
    folder: str | os.PathLike,
    names: Iterable[str],  # of the files to write to `folder`
    overwrite: bool,
    *sources: str | os.PathLike | None,
) -> Path:
    """Check each of the files like `check_output`, and return the folder."""
    if Path(folder).exists() and not Path(folder).is_dir():
        raise CommandError(f"{folder} is a file; name a folder")
    for name in names:
        check_output(Path(folder, name), overwrite, *sources)
    return Path(folder)


def kept_apart(
    file: Path,  # to write
) -> Path:
    """Return `file`, or if that exists name.interrupted.suffix next to it, or .interrupted_2, ... for the next one."""
    candidate, number = file, 1
    while candidate.is_file():
        ending = f".interrupted{'' if number == 1 else f'_{number}'}{file.suffix}"
        candidate, number = file.with_name(_shortened(file.stem, ending) + ending), number + 1
    return candidate


def _shortened(stem: str, ending: str) -> str:
    """As much of `stem` as a file system's names have room for."""
    return os.fsdecode(os.fsencode(stem)[: MAX_NAME_BYTES - len(os.fsencode(ending))])


def same_file(first: str | os.PathLike, second: str | os.PathLike) -> bool:
    """Whether two paths lead to one file, or will once it is written."""
    if os.path.exists(first) and os.path.exists(second):
        return os.path.samefile(first, second)
    return os.path.realpath(first) == os.path.realpath(second)


def _is_printed_to(file: Path) -> bool:
    """Whether standard output or the messages go to this file."""
    found = file.stat()
    for descriptor in (1, 2):
        try:
            if os.path.samestat(found, os.fstat(descriptor)):
                return True
        except OSError:  # closed
            continue
    return False

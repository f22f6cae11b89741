"""The output folder of a fit: whether it may be used, locked, and emptied when there is something to write."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from siren_fastai.files import check_writable
from siren_fastai.locks import LOCK, lock_folder

__all__ = ["MARKER", "OutputFolder", "check_erasable", "is_in_use", "take_folder"]

MARKER = ".siren_fastai_fit"  # in every folder that a fit has written to
MARKED = "Written by `siren-fastai fit`, which may erase this folder when asked to.\n"
SUBFOLDERS = ("checkpoints", "summaries")
LONGEST_NAME = Path("checkpoints", "x" * 80)  # as long as a temporary file's


@dataclass
class OutputFolder:
    """A folder that one fit has to itself. Until `begin`, nothing in it has changed.

    The new fit's first state is then written in the place of the old one, and `clear` removes the rest: whenever the
    process is killed, there is a fit to resume.
    """

    path: Path
    erase: bool
    lock: FileLock
    made: bool  # by this fit

    def begin(self) -> None:
        """Make it ready for the first file: mark it, and make the subfolders."""
        (self.path / MARKER).write_text(MARKED, encoding="utf-8")
        for name in SUBFOLDERS:
            if self.erase and (self.path / name).is_symlink():
                (self.path / name).unlink()
            (self.path / name).mkdir(exist_ok=True)
        self.made = False

    def clear(
        self,
        keep: Iterable[Path],  # in checkpoints/
    ) -> None:
        """Remove what it held, if that was asked for."""
        if not self.erase:
            return
        for item in self.path.iterdir():
            if item.name not in (MARKER, LOCK, *SUBFOLDERS):
                _remove(item)
        for item in (item for name in SUBFOLDERS for item in (self.path / name).iterdir()):
            if item not in keep:
                _remove(item)

    def release(self) -> None:
        """Let others use it; a folder that was made for this fit and not begun goes."""
        if self.made and not is_in_use(self.path):
            (self.path / LOCK).unlink(missing_ok=True)
            self.path.rmdir()
        self.lock.release()


def take_folder(
    folder: Path,
    overwrite: str = "never",  # "erase" what it holds, or "number" a new folder next to it; "never" is an error
    resume: bool = False,  # continue what it holds
    needed: Iterable[str | os.PathLike] = (),  # files that the fit reads: they are never erased
) -> OutputFolder:
    """Return the folder to write to, locked.

    Raises: FileExistsError if it holds something and `overwrite` is "never", or is a file; ValueError if it may not be
    erased; BlockingIOError if another fit runs in it; OSError if it cannot be written.
    """
    if overwrite == "number" and not resume:
        return _take_numbered(folder)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"`folder` {folder} is a file; choose another name")
    in_use = is_in_use(folder)
    if in_use and not resume and overwrite == "never":
        raise FileExistsError(
            f'{folder} is not empty: give overwrite="erase" to erase it, or overwrite="number" to write next to it'
        )
    if in_use and not resume:
        check_erasable(folder, needed)
    return _take(folder, in_use, erase=in_use and not resume)


def is_in_use(
    folder: Path,
) -> bool:
    """Whether `folder` is a folder with something in it, besides a lock that is left over."""
    return folder.is_dir() and any(item.name != LOCK for item in folder.iterdir())


def check_erasable(folder: Path, needed: Iterable[str | os.PathLike] = ()) -> None:
    """Check that everything in `folder` was written by one fit, as far as can be known.

    Raises: ValueError if it isn't marked as such, or if it holds another fit, the home folder, the working folder, or
    one of the `needed` files.
    """
    if not (folder / MARKER).is_file():
        raise ValueError(
            f"{folder} was not written by a fit (it has no file {MARKER}), so it is not erased: choose another `folder`"
        )
    here = folder.resolve()
    for other in (Path.home(), Path.cwd(), *map(Path, needed)):
        other = other.resolve()
        if other == here or here in other.parents:
            raise ValueError(f"erasing {folder} would also erase {other}; choose another `folder`")
    inner = next((marker.parent for marker in folder.rglob(MARKER) if marker.parent != folder), None)
    if inner is not None:
        raise ValueError(f"erasing {folder} would also erase another fit, {inner}; choose another `folder`")


def _take(folder: Path, in_use: bool, erase: bool = False) -> OutputFolder:
    """Lock `folder`. Raises: BlockingIOError also if another fit has used it since `in_use` was found out."""
    for name in (LOCK, LONGEST_NAME):
        check_writable(folder / name)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    taken = OutputFolder(folder, erase, lock_folder(folder), made)
    if is_in_use(folder) != in_use:
        taken.release()
        raise BlockingIOError(f"another fit has just changed {folder}; try again, or choose another `folder`")
    return taken


def _take_numbered(folder: Path) -> OutputFolder:
    """The first of `folder`, `folder`_002, ... that holds nothing and that no other fit has taken."""
    for candidate in _numbered(folder):
        if is_in_use(candidate) or (candidate.exists() and not candidate.is_dir()):
            continue
        try:
            return _take(candidate, in_use=False)
        except BlockingIOError:
            continue


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    number = 2
    while True:
        yield folder.with_name(f"{folder.name}_{number:03d}")
        number += 1


def _remove(item: Path) -> None:
    if item.is_dir() and not item.is_symlink():
        shutil.rmtree(item)
    else:
        item.unlink()

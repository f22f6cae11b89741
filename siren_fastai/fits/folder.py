"""The output folder of a fit: whether it may be used, and made ready."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

__all__ = ["check_erasable", "is_in_use", "prepare_folder"]


def prepare_folder(
    folder: Path,
    overwrite: str = "never",  # "erase" what it holds, or "number" a new folder next to it; "never" is an error
    resume: bool = False,  # continue what it holds
    needed: Iterable[str | os.PathLike] = (),  # files that the fit reads: they are never erased
) -> Path:
    """Return the folder to write to, with `checkpoints` and `summaries` in it.

    Raises: FileExistsError if it holds something and `overwrite` is "never", or is a file; ValueError if erasing it
    would take more than a fit; OSError if it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"`folder` {folder} is a file; choose another name")
    if is_in_use(folder) and not resume:
        if overwrite == "never":
            raise FileExistsError(
                f'{folder} is not empty: give overwrite="erase" to erase it, or overwrite="number" to write next to it'
            )
        if overwrite == "number":
            folder = _next_number(folder)
        else:
            check_erasable(folder, needed)
            _erase(folder)
    for name in ("checkpoints", "summaries"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(folder))
    return folder


def is_in_use(
    folder: Path,
) -> bool:
    """Whether `folder` is a folder with something in it."""
    return folder.is_dir() and any(folder.iterdir())


def check_erasable(folder: Path, needed: Iterable[str | os.PathLike] = ()) -> None:
    """Raise ValueError if `folder` holds the home folder, the working folder, or one of the `needed` files."""
    here = folder.resolve()
    for other in (Path.home(), Path.cwd(), *map(Path, needed)):
        other = other.resolve()
        if other == here or here in other.parents:
            raise ValueError(f"erasing {folder} would also erase {other}; choose another `folder`")


def _next_number(folder: Path) -> Path:
    number = 2
    while (numbered := folder.with_name(f"{folder.name}_{number:03d}")).exists():
        number += 1
    return numbered


def _erase(folder: Path) -> None:
    for item in folder.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()

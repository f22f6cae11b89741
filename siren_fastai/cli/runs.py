"""The output folder of an experiment: whether it may be used, and what lies where in it."""

import os
import shutil
import sys
from pathlib import Path

from siren_fastai.cli.errors import CommandError
from siren_fastai.cli.options import Chosen

__all__ = ["prepare_folder", "resume_command"]


def prepare_folder(chosen: Chosen) -> Path:
    """The folder to write to, made and tried, with its `checkpoints` and `summaries`.

    One that holds something is erased (--y), left alone for a numbered one beside it (--n), continued (--resume), or
    asked about where there is a terminal. Raises: CommandError if the answer is no, there is none to ask, or erasing it
    would take more than an experiment; OSError if it cannot be written.
    """
    folder = Path(chosen.logging_root, chosen.experiment_name)
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"--experiment_name: {folder} is a file; choose another name")
    if folder.is_dir() and any(folder.iterdir()) and not chosen.resume:
        if chosen.n:
            folder = _next_number(folder)
        elif chosen.y or _asked(folder):
            _erase(folder, [chosen.image_filepath, chosen.config_filepath, chosen.checkpoint_path])
    for name in ("checkpoints", "summaries"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(folder))
    return folder


def _next_number(folder: Path) -> Path:
    number = 2
    while (numbered := folder.with_name(f"{folder.name}_{number:03d}")).exists():
        number += 1
    return numbered


def _asked(folder: Path) -> bool:
    if not (sys.stdin and sys.stdin.isatty()):
        raise CommandError(f"{folder} is not empty: say --y to erase it or --n to keep it and write beside it")
    answer = input(f"{folder} is not empty. Erase what is in it? (y/n) ").strip().lower()
    if answer not in ("y", "yes"):
        raise CommandError(f"{folder} is left as it is; choose another --experiment_name, or --n")
    return True


def _erase(folder: Path, needed: list[str | None]) -> None:
    """Remove all that is in `folder`; not if it holds the home or working folder, or a file that this command reads."""
    here = folder.resolve()
    for other in (Path.home(), Path.cwd(), *(Path(name) for name in needed if name)):
        other = other.resolve()
        if other == here or here in other.parents:
            raise CommandError(f"--y would erase {other}, which is in {folder}; choose another --experiment_name")
    for item in folder.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()


def resume_command(folder: Path) -> str:
    """What to type to go on with the experiment in `folder`."""
    return f"siren-fastai fit --logging_root {folder.parent} --experiment_name {folder.name} --resume"

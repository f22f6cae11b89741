"""The folder of one experiment: written whole or not at all, and by one process at a time."""

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from siren_fastai.files import strict_json, write_json
from siren_fastai.locks import LOCK, lock_folder

__all__ = ["ERROR", "RESULT", "SETTINGS", "STUDY", "Claim", "claim_folder", "read_record", "state_of"]

SETTINGS, RESULT, ERROR = "settings.json", "result.json", "error.txt"
STUDY = "study.json"  # in the study's folder: what the study is, and its claims
RUNNING = ".running"  # in the study's folder: for each experiment its lock, and what is being written
REPLACED = "replaced"


@dataclass(frozen=True)
class Claim:
    """The right to write the folder of one experiment. What is put into `work` becomes that folder at the end."""

    path: Path  # the experiment's folder
    work: Path  # a folder of this claim's own
    lock: FileLock

    def finish(
        self,
        record: Mapping,  # what was asked for: to `settings.json`
        row: Mapping,  # what came of it: to `result.json`
        files: Mapping[str, bytes] | None = None,  # further ones, by name
    ) -> None:
        """Let `work`, with the record, the row and the files, take the place of the folder."""
        for name, content in (files or {}).items():
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_bytes(content)
        write_json(row, self.work / RESULT)
        self._put(record)

    def fail(
        self,
        record: Mapping,
        text: str,  # the traceback
    ) -> None:
        """Leave the record and `error.txt`, and nothing else, in the folder."""
        _empty(self.work)
        (self.work / ERROR).write_text(text, encoding="utf-8")
        self._put(record)

    def abandon(self) -> None:
        """Leave the folder as it was."""
        shutil.rmtree(self.work, ignore_errors=True)  # a process that was ended may still write: it goes with the next
        self.lock.release()

    def _put(self, record: Mapping) -> None:
        write_json(record, self.work / SETTINGS)
        replaced = self.work.parent / REPLACED
        if self.path.exists():
            os.replace(self.path, replaced)
        os.replace(self.work, self.path)
        shutil.rmtree(replaced, ignore_errors=True)
        self.lock.release()


def claim_folder(
    path: Path,  # the experiment's folder, in the study's
) -> Claim | None:
    """Return the right to write it, or None if another process has that.

    The lock is the operating system's: what a killed process had claimed is free again.
    """
    home = path.parent / RUNNING / path.name
    home.mkdir(parents=True, exist_ok=True)
    try:
        lock = lock_folder(home)
    except BlockingIOError:
        return None
    if (home / REPLACED).exists() and not path.exists():  # a process was killed between two renamings
        os.replace(home / REPLACED, path)
    _empty(home)
    work = home / uuid.uuid4().hex  # a new name: a process of an earlier claim may live on for a while
    work.mkdir()
    return Claim(path, work, lock)


def read_record(
    path: Path,  # an experiment's folder
) -> dict:
    """Return its `settings.json`: experiment, number, slug, axes, settings. Raises: ValueError if it has none."""
    try:
        record = json.loads((path / SETTINGS).read_text(encoding="utf-8"))
        if not isinstance(record["settings"], dict):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not the folder of an experiment: it has no readable {SETTINGS}") from None
    return record


def state_of(
    path: Path,  # the experiment's folder
    record: Mapping,  # what is asked for
    defaults: Mapping,  # of settings that an older record may lack
) -> str:
    """Return what the folder holds: "nothing", an "error", a "result", or one of "other settings".

    Raises: FileExistsError for a folder that no experiment wrote, or one with an error and other files.
    """
    if not path.exists():
        return "nothing"
    try:
        found = read_record(path)
    except ValueError as error:
        raise FileExistsError(f"{error}; choose another output folder, or move it away") from None
    if not (path / RESULT).is_file():
        others = [item.name for item in path.iterdir() if item.name not in (SETTINGS, ERROR)]
        if others:
            raise FileExistsError(f"{path} holds {others[0]}, which no experiment wrote; move it away")
        return "error"
    plain = json.loads(strict_json({**record, "settings": {**defaults, **record["settings"]}}))
    same = found["experiment"] == plain["experiment"] and {**defaults, **found["settings"]} == plain["settings"]
    return "result" if same else "other settings"


def _empty(folder: Path) -> None:
    """Remove what is in it, except a lock."""
    for item in folder.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        elif item.name != LOCK:
            item.unlink()

"""A study in TensorBoard's HPARAMS tab, for those who have it: `pip install siren_fastai[tensorboard]`."""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from siren_fastai.study.running.folder import RESULT, read_record
from siren_fastai.study.table import cell

__all__ = ["SUMMARIES", "write_hparams"]

SUMMARIES = "summaries"  # in the study's folder
SHOWN = ("scheme", "lr", "hidden", "mult", "seed")  # settings that are shown besides the axes, where there are such
EVENTS = "events.out.tfevents."  # begins the names of TensorBoard's files


def write_hparams(
    folder: str | Path,  # of the study
) -> Path:
    """Write the axes, the main settings and the numbers of every finished experiment as event files.

    Returns their folder, for `tensorboard --logdir`. What an earlier call wrote there is replaced.
    Raises: ImportError without the package `tensorboard`; FileExistsError if the folder holds other files.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # an extra: torch does not install the package
    except ImportError:
        message = "HPARAMS need the package tensorboard: pip install 'siren_fastai[tensorboard]'"
        raise ImportError(message) from None
    target = Path(folder, SUMMARIES)
    _remove(target)
    with SummaryWriter(str(target)) as writer:
        for path in sorted(path.parent for path in Path(folder).glob(f"*/{RESULT}")):
            record, row = read_record(path), json.loads((path / RESULT).read_text(encoding="utf-8"))
            writer.add_hparams(_settings(record), _numbers(row), run_name=path.name)
    return target


def _settings(record: Mapping) -> dict:
    """The axes, and the settings of `SHOWN`; lists as text."""
    shown = {name: record["settings"][name] for name in SHOWN if name in record["settings"]}
    return {name: cell(value) for name, value in {**shown, **record["axes"]}.items()}


def _numbers(row: Mapping) -> dict[str, float]:
    """The finite numbers of the results, under names that no setting has."""
    numbers = {name: value for name, value in row.items() if isinstance(value, (int, float)) and math.isfinite(value)}
    return {f"result/{name}": value for name, value in numbers.items()}


def _remove(folder: Path) -> None:
    """Remove the event files of an earlier call."""
    others = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(EVENTS)]
    if others:
        raise FileExistsError(f"{others[0]} is not TensorBoard's; move it out of {folder}, which is written anew")
    if folder.exists():
        shutil.rmtree(folder)

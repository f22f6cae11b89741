"""One experiment, or several together, in the process that does it: rows, and files."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from siren_fastai.files import strict_json
from siren_fastai.jobs.call import Failure, failure_of
from siren_fastai.study.experiment import Experiment

__all__ = ["perform", "perform_group"]

SCALARS = (str, int, float, bool, type(None))


Done = tuple[dict, dict[str, bytes]]  # the row, and the files that were not written to a folder: name -> content


def perform_group(
    experiment: Experiment,
    settings: Sequence[dict],
    folders: Sequence[Path | None],  # as for `perform`
) -> tuple[list[Done | Failure], str | None]:
    """Do several experiments together, or one alone. If that fails, each is done alone: what fails then, has failed.

    Returns: what came of each, and why they were not done together, if that was tried.
    """
    reason = None
    if len(settings) > 1:
        try:
            return _together(experiment, settings, folders), None
        except Exception as error:
            reason = failure_of(error).message
    return [_alone(experiment, *pair) for pair in zip(settings, folders, strict=True)], reason


def _alone(experiment: Experiment, settings: dict, folder: Path | None) -> Done | Failure:
    try:
        return perform(experiment.run, settings, folder)
    except Exception as error:
        return failure_of(error)


def _together(experiment: Experiment, settings: Sequence[dict], folders: Sequence[Path | None]) -> list[Done]:
    with ExitStack() as stack:
        places = [_place(folder, stack) for folder in folders]
        rows = experiment.together.run(settings, places)
        pairs = zip(rows, places, folders, strict=True)
        return [(_row(row), _sent_back(place) if folder is None else {}) for row, place, folder in pairs]


def perform(
    run: Callable,  # of the experiment
    settings: dict,
    folder: Path | None,  # where its files go; None on another machine, which sends them back
) -> Done:
    """Do one experiment. Raises: TypeError unless it returns a row of plain values; what it raises."""
    with ExitStack() as stack:
        place = _place(folder, stack)
        row = _row(run(settings, place))
        return row, _sent_back(place) if folder is None else {}


def _place(folder: Path | None, stack: ExitStack) -> Path:
    """The folder, emptied; or a temporary one, until the end of `stack`."""
    if folder is None:
        return Path(stack.enter_context(TemporaryDirectory(prefix="siren_fastai-")))
    for left in folder.iterdir():  # of the same call in a process that was killed, or in a group that failed
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return folder


def _sent_back(place: Path) -> dict[str, bytes]:
    files = [path for path in place.rglob("*") if path.is_file()]
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in files}


def _row(result: Mapping) -> dict:
    """`result` with numpy's and torch's numbers as Python's."""
    if not isinstance(result, Mapping):
        raise TypeError(f"an experiment must return a dict, the row of its table, got {type(result).__name__}")
    row = {str(name): value.tolist() if hasattr(value, "tolist") else value for name, value in result.items()}
    for name, value in row.items():
        if not isinstance(value, SCALARS):
            raise TypeError(f"the column {name!r} must be a number, a text or None, got {type(value).__name__}")
    strict_json(row)
    return row

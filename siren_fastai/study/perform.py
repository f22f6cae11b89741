"""One experiment, in the process that does it: its row, and its files."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from siren_fastai.files import strict_json

__all__ = ["perform"]

SCALARS = (str, int, float, bool, type(None))


def perform(
    run: Callable,  # of the experiment
    settings: dict,
    folder: Path | None,  # where its files go; None on another machine, which sends them back
) -> tuple[dict, dict[str, bytes]]:  # the row, and the files that were not written to `folder`: name -> content
    """Do one experiment. Raises: TypeError unless it returns a row of plain values; what it raises."""
    if folder is not None:
        for left in folder.iterdir():  # of the same call in a process that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        return _row(run(settings, folder)), {}
    with TemporaryDirectory(prefix="siren_fastai-") as name:
        row = _row(run(settings, Path(name)))
        files = [path for path in Path(name).rglob("*") if path.is_file()]
        return row, {path.relative_to(name).as_posix(): path.read_bytes() for path in files}


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

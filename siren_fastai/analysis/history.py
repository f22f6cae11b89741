"""The training history: one table, whether it comes from a fit's `history.txt` or from `MetricHistory`.

`history.txt` has one row per epoch with the metrics before that epoch's update. Written: a `#` header line with the
four column names, then tab-separated numbers that read back exactly; `numpy.loadtxt` reads it too. Also read: headers
without `#`, commas or blanks as separators, the older form of the note, three columns (loss, PSNR, SSIM) without
header or epoch, and `MetricHistory`'s CSV and JSON, whose metrics are those after each epoch.
Source: the note, which is the report of 2020 in franec94/My-Siren-Deep-Learning-Test, and its command line.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from siren_fastai.analysis.records import LOSSES, PROGRESS, are_records, read_records
from siren_fastai.files import replacing

__all__ = [
    "COLUMNS",
    "METRICS",
    "STEP_COLUMNS",
    "describe",
    "extremes",
    "from_records",
    "read_history",
    "write_history",
]

COLUMNS = ("Epoch", "train_loss(MSE)", "train_psnr (db)", "train_ssim")
METRICS = COLUMNS[1:]
STEP_COLUMNS = ("Epoch", *PROGRESS, "lr")  # of summaries/steps.txt, next to history.txt
_HEADER = "".join("".join(COLUMNS).split())


def read_history(
    path: str | Path,  # a history.txt, or a file that `MetricHistory.to_csv` or `to_json` wrote
) -> pd.DataFrame:
    """Read a history as a table with the columns `COLUMNS`: integer epochs, float64 metrics (inf and nan allowed).

    Raises: ValueError with file and line for text that is not such a history; OSError for a file that cannot be read.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file (byte {error.start}); expected a history") from None
    if are_records(lines):
        return _read_records(path, lines)
    has_header, rows = False, []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not rows and not has_header and _is_header(text):
            has_header = True
        elif text and not text.startswith("#"):
            rows.append((number, _numbers(path, number, text)))
    if not rows:
        raise ValueError(f"{path}: no rows of numbers; expected one for each epoch, {', '.join(COLUMNS)}")
    return _table(path, rows, 4 if has_header else len(rows[0][1]))


def from_records(
    records: pd.DataFrame,  # `MetricHistory.to_frame()`
) -> pd.DataFrame:
    """Return `MetricHistory`'s table with the columns `COLUMNS`, as `describe`, `Report` and `history_figure` take it.

    The MSE is `valid_loss`, or `train_loss` if there is no validation. PSNR and SSIM are the metrics `psnr` and `ssim`;
    one that was not measured is nan.
    Raises: ValueError for a table without `epoch` or without a loss.
    """
    names = _names_in(records)
    rows = [[row.get(name, math.nan) for name in names] for row in records.to_dict("records")]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=float).astype({"Epoch": "int64"})


def _names_in(records) -> tuple[str, ...]:
    """The columns of `MetricHistory` that stand for `COLUMNS`."""
    loss = next((name for name in LOSSES if name in records), None)
    if loss is None or "epoch" not in records:
        raise ValueError(f"expected the columns epoch and {' or '.join(LOSSES)}, got {', '.join(map(str, records))}")
    return "epoch", loss, "psnr", "ssim"


def _read_records(path: Path, lines: list[str]) -> pd.DataFrame:
    rows = read_records(path, lines)
    try:
        names = _names_in({name: None for _, row in rows for name in row})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return _table(path, [(number, [row.get(name, math.nan) for name in names]) for number, row in rows], 4)


def _is_header(text: str) -> bool:
    return "".join(text.lstrip("#").replace(",", " ").replace('"', " ").split()) == _HEADER


def _numbers(path: Path, number: int, text: str) -> list[float]:
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise ValueError(
            f"{path}, line {number}: expected numbers or the header {' | '.join(COLUMNS)}, got {text[:80]!r}"
        ) from None


def _table(path: Path, rows: list[tuple[int, list[float]]], width: int) -> pd.DataFrame:
    if width not in (3, 4):
        raise ValueError(f"{path}, line {rows[0][0]}: expected 4 columns (or 3 without epochs), got {width}")
    for number, values in rows:
        if len(values) != width:
            raise ValueError(f"{path}, line {number}: expected {width} columns, got {len(values)}; was it truncated?")
    if width == 3:
        rows = [(number, [epoch, *values]) for epoch, (number, values) in enumerate(rows)]
    last = -1.0
    for number, (epoch, *_) in rows:
        if not (math.isfinite(epoch) and epoch == int(epoch) and epoch > last):
            raise ValueError(
                f"{path}, line {number}: epochs must be integers that increase, got {epoch:g} after {last:g}"
            )
        last = epoch
    return pd.DataFrame([values for _, values in rows], columns=list(COLUMNS)).astype({"Epoch": "int64"})


def write_history(history: pd.DataFrame, path: str | Path) -> Path:
    """Write `history` (columns `COLUMNS`) to `path`, and return the path; an older file is replaced whole.

    Raises: ValueError if the columns are others; OSError if the folder cannot be written.
    """
    path = Path(path)
    if list(history.columns) != list(COLUMNS):
        raise ValueError(f"`history` must have the columns {list(COLUMNS)}, got {list(history.columns)}")
    rows = ["\t".join([str(int(epoch)), *(repr(float(v)) for v in values)]) for epoch, *values in history.to_numpy()]
    with replacing(path) as partial:
        partial.write_text("\n".join(["# " + "\t".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return path


def describe(history: pd.DataFrame) -> pd.DataFrame:
    """Return count, mean, standard deviation, minimum, quartiles and maximum of each metric, without inf and nan."""
    return history[list(METRICS)].replace([np.inf, -np.inf], np.nan).describe()


def extremes(history: pd.DataFrame, column: str) -> dict[str, tuple[int, float]]:
    """Return `{"max": (epoch, value), "middle": ..., "min": ...}` of a metric; "middle" is halfway through training.

    inf and nan are left out; a metric with nothing else gives an empty dict. Raises: ValueError for an unknown column.
    """
    if column not in METRICS:
        raise ValueError(f"`column` must be one of {list(METRICS)}, got {column!r}")
    rows = history.loc[np.isfinite(history[column]), ["Epoch", column]]
    if rows.empty:
        return {}
    chosen = {"max": rows[column].argmax(), "middle": (len(rows) - 1) // 2, "min": rows[column].argmin()}
    return {label: (int(rows["Epoch"].iloc[i]), float(rows[column].iloc[i])) for label, i in chosen.items()}

"""A training history on disk, `history.txt`: one row for each epoch, with the metrics before that epoch's update.

Written: a `#` header line with the four column names, then tab-separated numbers that read back exactly;
`numpy.loadtxt` reads it too. Read as well: headers without `#`, commas or blanks as separators, and the older form of
the note, three columns (loss, PSNR, SSIM) without header or epoch.
Source: the note, which is the report of 2020 in franec94/My-Siren-Deep-Learning-Test, and its command line.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from siren_fastai.files import replacing

__all__ = ["COLUMNS", "METRICS", "describe", "extremes", "read_history", "write_history"]

COLUMNS = ("Epoch", "train_loss(MSE)", "train_psnr (db)", "train_ssim")
METRICS = COLUMNS[1:]
_HEADER = "".join("".join(COLUMNS).split())


def read_history(path: str | Path) -> pd.DataFrame:
    """The history in `path` as a table with the columns `COLUMNS`: whole epochs, float64 metrics (inf and nan allowed).

    Raises: ValueError with file and line for text that is not such a history; OSError for a file that cannot be read.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file (byte {error.start}); expected a history.txt") from None
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
            raise ValueError(f"{path}, line {number}: expected {width} columns, got {len(values)}; was it cut off?")
    if width == 3:
        rows = [(number, [epoch, *values]) for epoch, (number, values) in enumerate(rows)]
    last = -1.0
    for number, (epoch, *_) in rows:
        if not (math.isfinite(epoch) and epoch == int(epoch) and epoch > last):
            raise ValueError(
                f"{path}, line {number}: epochs must be whole and increasing, got {epoch:g} after {last:g}"
            )
        last = epoch
    return pd.DataFrame([values for _, values in rows], columns=list(COLUMNS)).astype({"Epoch": "int64"})


def write_history(history: pd.DataFrame, path: str | Path) -> Path:
    """Write `history` (columns `COLUMNS`) to `path`: to a temporary name beside it, renamed when complete.

    A failure (a full disk, say) leaves an older file as it was. Returns `path`.
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
    """Count, mean, standard deviation, minimum, quartiles and maximum of each metric; inf and nan are left out."""
    return history[list(METRICS)].replace([np.inf, -np.inf], np.nan).describe()


def extremes(history: pd.DataFrame, column: str) -> dict[str, tuple[int, float]]:
    """`{"max": (epoch, value), "middle": ..., "min": ...}` of one metric; "middle" is the row halfway through training.

    inf and nan are left out; a metric with nothing else gives an empty dict. Raises: ValueError for an unknown column.
    """
    if column not in METRICS:
        raise ValueError(f"`column` must be one of {list(METRICS)}, got {column!r}")
    rows = history.loc[np.isfinite(history[column]), ["Epoch", column]]
    if rows.empty:
        return {}
    chosen = {"max": rows[column].argmax(), "middle": (len(rows) - 1) // 2, "min": rows[column].argmin()}
    return {label: (int(rows["Epoch"].iloc[i]), float(rows[column].iloc[i])) for label, i in chosen.items()}

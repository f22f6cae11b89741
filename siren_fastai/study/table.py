"""The table of a study, a row for each experiment: its values, choosing rows, medians and ranges.

A level that was not reached, or a number that a diverged fit doesn't have, is nan or None. It counts as worse than
every number. An infinite number, such as the PSNR of a perfect fit, is a number, unless it is the worst there is.
"""

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from numbers import Real

import numpy as np
import pandas as pd

__all__ = [
    "SEED",
    "SO_FAR",
    "better_of",
    "cell",
    "check_columns",
    "column",
    "in_order",
    "keys",
    "median",
    "numbers_of",
    "read_cell",
    "so_far",
    "spread",
    "where",
    "worst",
]

SEED = "seed"  # the axis over which results are summed up
SO_FAR = " so far"  # ends the name of a history's column that is an axis too
HIGHER = ("psnr", "best_psnr", "ssim")  # measures that begin so are better when higher; others are costs


def cell(value):
    """Return a value as a table compares and shows it: lists and dicts as compact JSON, nan as None."""
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        value = value.tolist()
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, separators=(",", ":"))
    return None if isinstance(value, float) and math.isnan(value) else value


def read_cell(value):
    """Return `cell` of a value from JSON, which writes infinite numbers and nan as "inf", "-inf" and "nan"."""
    return cell(float(value) if value in ("inf", "-inf", "nan") else value)


def column(
    table: pd.DataFrame,
    name: str,
) -> list:
    """Return the column's values as `cell` gives them. Raises: ValueError for a column that isn't there."""
    check_columns(table, [name])
    return [cell(value) for value in table[name]]


def so_far(
    histories: pd.DataFrame,
    name: str,  # such as "epochs"
) -> str:
    """Return the column that counts `name` along each run: "epochs so far" where "epochs" is an axis of the study."""
    return name + SO_FAR if name + SO_FAR in histories else name


def keys(
    table: pd.DataFrame,
    names: Iterable[str],  # columns
) -> list[tuple]:
    """Return the values of the columns for each row."""
    columns = [column(table, name) for name in names]
    return list(zip(*columns, strict=True)) if columns else [()] * len(table)


def check_columns(
    table: pd.DataFrame,
    names: Iterable[str],
) -> None:
    """Raise a ValueError, which lists those that there are, unless `table` has all the columns `names`."""
    if lacking := [name for name in dict.fromkeys(names) if name not in table]:
        there = ", ".join(map(str, table.columns)) or "none"
        raise ValueError(f"the results have no column {', '.join(map(repr, lacking))}; they have {there}")


def where(
    table: pd.DataFrame,
    match: Mapping,  # columns and the value that each must have
) -> pd.DataFrame:
    """Return the rows in which every column of `match` has its value. Raises: ValueError for columns not there."""
    wanted = tuple(cell(value) for value in match.values())
    return table[np.array([key == wanted for key in keys(table, match)], dtype=bool)]


def in_order(values: Iterable) -> list:
    """Return the different values sorted: numbers by size, then text, then None."""
    return sorted(dict.fromkeys(values), key=_rank)


def _rank(value) -> tuple:
    return (0, value, "") if isinstance(value, Real) else (2 if value is None else 1, 0, str(value))


def better_of(measure: str) -> str:
    """Return "higher" for a PSNR, an SSIM or a speed, and "lower" for every other measure."""
    return "higher" if measure.startswith(HIGHER) or measure.endswith("per_second") else "lower"


def worst(better: str) -> float:
    """Return what stands for a result that was not reached: -inf where "higher" is better, inf where "lower" is."""
    return -math.inf if better == "higher" else math.inf


def numbers_of(
    table: pd.DataFrame,
    measure: str,  # a column of numbers
    better: str,  # "higher" or "lower"
) -> list[float]:
    """Return the measure of each row; what was not reached is infinitely bad.

    Raises: ValueError for a column that isn't there, or that holds something other than numbers.
    """
    values = column(table, measure)
    for value in values:
        if value is not None and not isinstance(value, Real):
            raise ValueError(f"the column {measure!r} must hold numbers, got {value!r:.60}")
    return [worst(better) if value is None else float(value) for value in values]


def spread(
    values: Iterable[float],  # from `numbers_of`
    better: str,  # "higher" or "lower", as there
) -> dict[str, float | int | None]:
    """Return `median`, `min` and `max`, how many values there are (`count`), and how many were `reached`.

    None stands for a result that was not reached, for instance the median if it is so in most rows.
    """
    values, lost = list(values), worst(better)
    if not values:
        return {"median": None, "min": None, "max": None, "count": 0, "reached": 0}
    found = {"median": median(values, better), "min": min(values), "max": max(values)}
    told = {name: None if value == lost else value for name, value in found.items()}
    return {**told, "count": len(values), "reached": sum(value != lost for value in values)}


def median(
    values: Iterable[float],
    better: str = "higher",  # or "lower"
) -> float:
    """Return the median; between infinities of both signs it is the worse one."""
    middle = statistics.median(values)
    if not math.isnan(middle):
        return middle
    return (statistics.median_low if better == "higher" else statistics.median_high)(values)

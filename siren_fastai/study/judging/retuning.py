"""The best value of an axis, such as the learning rate, for each group of a table: by the median over the rest."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from siren_fastai.study.experiment import Plain
from siren_fastai.study.table import keys, median, numbers_of, worst

__all__ = ["Best", "best_values", "take_best"]


class Best(NamedTuple):
    """The best value of an axis in a group."""

    value: Plain
    reached: bool  # whether the median there is a number; if not, the value is as good as any other


def best_values(
    table: pd.DataFrame,
    axis: str,  # the column to choose from
    measure: str,
    better: str,  # "higher" or "lower"
    groups: Sequence[str],  # columns; a value is chosen for each combination that the table has
) -> dict[tuple, Best]:
    """Return for each group the value of the axis with the best median of the measure.

    Of equal ones it is the one with the most numbers, then the first.
    Raises: ValueError for columns that the table lacks, or a measure that isn't a number.
    """
    found: dict[tuple, dict[Plain, list[float]]] = {}
    numbers = numbers_of(table, measure, better)
    for (*group, value), number in zip(keys(table, [*groups, axis]), numbers, strict=True):
        found.setdefault(tuple(group), {}).setdefault(value, []).append(number)
    return {group: _best(by, better) for group, by in found.items()}


def _best(numbers: dict[Plain, list[float]], better: str) -> Best:
    sign, lost = -1 if better == "higher" else 1, worst(better)
    medians = {value: median(many, better) for value, many in numbers.items()}
    value = min(numbers, key=lambda one: (sign * medians[one], numbers[one].count(lost)))
    return Best(value, medians[value] != lost)


def take_best(
    table: pd.DataFrame,
    axis: str,
    best: dict[tuple, Best],  # from `best_values`
    groups: Sequence[str],
) -> pd.DataFrame:
    """Return the rows in which the axis has the best value of their group."""
    return table[[best[tuple(group)].value == value for *group, value in keys(table, [*groups, axis])]]

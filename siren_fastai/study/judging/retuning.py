"""The best value of an axis, such as the learning rate, for each group of a table: by the median over the rest."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from siren_fastai.study.table import keys, median, numbers_of

__all__ = ["Best", "best_values", "take_best"]


class Best(NamedTuple):
    """The best value of an axis in a group."""

    value: object
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
    sign, found = (-1 if better == "higher" else 1), {}
    numbers = numbers_of(table, measure, better)
    for (*group, value), number in zip(keys(table, [*groups, axis]), numbers, strict=True):
        found.setdefault(tuple(group), {}).setdefault(value, []).append(sign * number)
    return {group: _best(by) for group, by in found.items()}


def _best(costs: dict[object, list[float]]) -> Best:
    value = min(costs, key=lambda one: (median(costs[one]), -sum(map(math.isfinite, costs[one]))))
    return Best(value, math.isfinite(median(costs[value])))


def take_best(
    table: pd.DataFrame,
    axis: str,
    best: dict[tuple, Best],  # from `best_values`
    groups: Sequence[str],
) -> pd.DataFrame:
    """Return the rows in which the axis has the best value of their group."""
    return table[[best[tuple(group)].value == value for *group, value in keys(table, [*groups, axis])]]

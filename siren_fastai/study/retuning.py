"""The best value of an axis, such as the learning rate, for each group of a table: by the median over the rest."""

from collections.abc import Sequence

import pandas as pd

from siren_fastai.study.table import keys, median, numbers_of

__all__ = ["best_values", "take_best"]


def best_values(
    table: pd.DataFrame,
    axis: str,  # the column to choose from
    measure: str,
    better: str,  # "higher" or "lower"
    groups: Sequence[str],  # columns; a value is chosen for each combination that the table has
) -> dict[tuple, object]:
    """Return for each group the value of the axis with the best median of the measure; of equal ones, the first.

    Raises: ValueError for columns that the table lacks, or a measure that isn't a number.
    """
    sign, found = (-1 if better == "higher" else 1), {}
    numbers = numbers_of(table, measure, better)
    for (*group, value), number in zip(keys(table, [*groups, axis]), numbers, strict=True):
        found.setdefault(tuple(group), {}).setdefault(value, []).append(number)
    return {group: min(by, key=lambda value: sign * median(by[value])) for group, by in found.items()}


def take_best(
    table: pd.DataFrame,
    axis: str,
    best: dict[tuple, object],  # from `best_values`
    groups: Sequence[str],
) -> pd.DataFrame:
    """Return the rows in which the axis has the best value of their group."""
    return table[[best[tuple(group)] == value for *group, value in keys(table, [*groups, axis])]]

"""Pairs of rows that differ in what a claim compares, and the effect in each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from siren_fastai.study.judging.claims import Claim
from siren_fastai.study.table import SEED, keys, numbers_of

__all__ = ["Pairs", "make_pairs"]


@dataclass(frozen=True)
class Pairs:
    """The pairs of a claim, one entry for each in every list.

    An effect is the difference or the ratio in the direction of the claim. It is nan where neither side has a number,
    such as a level that neither reached.
    """

    groups: list[tuple]  # the values of the pair's columns without the seed
    seeds: list  # None in a table without seeds
    first: list[float]  # what was not reached is infinitely bad
    than: list[float]
    effects: list[float]
    group_names: tuple[str, ...]
    unpaired: int  # rows without a partner

    def by_group(self) -> dict[tuple, list[int]]:
        """The places of each group's pairs."""
        places: dict[tuple, list[int]] = {}
        for place, group in enumerate(self.groups):
            places.setdefault(group, []).append(place)
        return places


def make_pairs(
    claim: Claim,
    first: pd.DataFrame,  # the rows of one side
    than: pd.DataFrame,  # and of the other
    pair: Sequence[str],  # the columns in which a pair agrees
) -> Pairs:
    """Return the pairs of two sides. Raises: ValueError for several rows of one side in one pair, or by `effect`."""
    names = [name for name in pair if name != SEED]
    lefts, rights = _by_key(claim, first, pair), _by_key(claim, than, pair)
    both = [key for key in lefts if key in rights]
    values = [(lefts[key], rights[key]) for key in both]
    told = [dict(zip(pair, key, strict=True)) for key in both]
    return Pairs(
        groups=[tuple(key[name] for name in names) for key in told],
        seeds=[key.get(SEED) for key in told],
        first=[left for left, _ in values],
        than=[right for _, right in values],
        effects=[effect(claim, left, right) for left, right in values],
        group_names=tuple(names),
        unpaired=len(lefts) + len(rights) - 2 * len(both),
    )


def _by_key(claim: Claim, side: pd.DataFrame, pair: Sequence[str]) -> dict[tuple, float]:
    found: dict[tuple, float] = {}
    for key, value in zip(keys(side, pair), numbers_of(side, claim.measure, claim.better), strict=True):
        if key in found:
            shared = ", ".join(f"{name}={part}" for name, part in zip(pair, key, strict=True)) or "nothing"
            raise ValueError(
                f"{claim.says!r:.60}: several rows of one side share {shared}; name what tells them apart in `pair`, "
                "or in `first` and `than`"
            )
        found[key] = value
    return found


def effect(
    claim: Claim,
    first: float,
    than: float,
) -> float:
    """Return how much better `first` is: the difference, or the ratio if the claim states one; nan if neither has it.

    Raises: ValueError for a ratio of numbers that aren't above 0.
    """
    upper, lower = (first, than) if claim.better == "higher" else (than, first)
    lost = -math.inf if claim.better == "higher" else math.inf
    if first == than:
        return math.nan if first == lost else claim.neutral
    if lost in (first, than):
        return math.inf if than == lost else (-math.inf if claim.ratio is None else 0.0)
    if claim.ratio is None:
        return upper - lower
    if not (upper > 0 and lower > 0):
        raise ValueError(f"{claim.says!r:.60}: a ratio needs {claim.measure} above 0, got {first:g} and {than:g}")
    return upper / lower

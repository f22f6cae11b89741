"""Whether a study's table bears out a claim: one rule for all studies, `RULE`, applied by `verdict`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from siren_fastai.study.experiment import Plain
from siren_fastai.study.judging.claims import Claim, read_claim
from siren_fastai.study.judging.evidence import in_words, numbers_of_pairs, shortfalls, too_few
from siren_fastai.study.judging.pairs import Pairs, make_pairs
from siren_fastai.study.judging.retuning import Best, best_values, take_best
from siren_fastai.study.table import SEED, check_columns, column, in_order, where

__all__ = ["RULE", "Verdict", "verdict"]

SIDES = ("first", "than")
REPRODUCED, NOT_REPRODUCED, CONFOUNDED = "reproduced", "not reproduced", "confounded"

RULE = """\
A claim says that some rows of a study's table (`first`) do better than others (`than`) in one measure. Two rows that
agree in everything else, the random seed included, are a pair. Its effect is their difference, or their ratio, in the
direction of the claim. Pairs that differ in the seed alone are a group: those of one image, for example.

- **reproduced**: every group has at least 3 seeds; the median of all pairs reaches the margin that the claim states
  (without a margin: is above 0); the median of no group points the other way; and at most one pair in ten does, so of
  fewer than ten pairs none.
- **not reproduced**: one of these fails. The sentence says which.
- **confounded**: the outcome depends on a setting that the note did not hold fixed, such as the learning rate. With
  `retuned`, each side first takes the value that suits it, which in each group is the one with the best median over the
  seeds. Then both sides get the same value, for each value that suited one of them. If the words differ, the claim is
  confounded. A value suits a side only if its median there is a number.

A level that a fit didn't reach, and a number that it doesn't have because it diverged, are worse than every number. A
pair in which neither side has a number falls short of the margin, but doesn't point the other way. The infinite PSNR of
a fit without error is a number, better than all others. Where the margin is negative ("at most 0.5 dB worse"), pairs
point the other way if they fall short of it."""


@dataclass(frozen=True)
class Verdict:
    """What a table says of a claim."""

    word: str  # "reproduced", "not reproduced" or "confounded"
    numbers: Mapping[str, Plain]  # medians and ranges of both sides and of the pairs' effects; counts
    sentence: str  # the word, the reason and the numbers, for people


def verdict(
    claim: Claim | Mapping[str, Plain],  # of a study's file, see `read_claim`
    table: pd.DataFrame,  # a row for each experiment, as `read_results` returns it
    axes: Sequence[str] | None = None,  # the study's; None: those that `read_results` noted in the table
) -> Verdict:
    """Judge a claim by `RULE`.

    Raises: ValueError for a claim that `read_claim` rejects, a column that the table lacks or that doesn't hold
    numbers, rows that belong to both sides, several rows for one side of a pair, and ratios of numbers below 0.
    """
    claim = read_claim(claim)
    axes = table.attrs.get("axes", ()) if axes is None else axes
    varied = {*claim.first, *claim.than, claim.retuned}
    pair = [name for name in axes if name not in varied] if claim.pair is None else list(claim.pair)
    check_columns(table, [claim.measure, *varied - {None}, *pair])
    first, than = where(table, claim.first), where(table, claim.than)
    if both := sorted(set(first.index) & set(than.index)):
        raise ValueError(f"{claim.says!r:.60}: {len(both)} rows match both `first` and `than`; name more columns there")
    if claim.retuned is None:
        return _judged(claim, make_pairs(claim, first, than, pair))
    return _retuned(claim, first, than, pair)


def _judged(claim: Claim, pairs: Pairs) -> Verdict:
    """The verdict on the pairs as they are."""
    problems = [*too_few(pairs), *shortfalls(claim, pairs)]
    word = NOT_REPRODUCED if problems else REPRODUCED
    numbers = numbers_of_pairs(claim, pairs)
    return Verdict(word, numbers, ": ".join([word.capitalize(), *problems[:1]]) + f". {in_words(claim, numbers)}")


def _retuned(claim: Claim, first: pd.DataFrame, than: pd.DataFrame, pair: Sequence[str]) -> Verdict:
    """The verdict with each side's best values; "confounded" if one of these, given to both sides, changes the word."""
    axis, groups = claim.retuned, [name for name in pair if name != SEED]
    best = [best_values(side, axis, claim.measure, claim.better, groups) for side in (first, than)]
    sides = [take_best(side, axis, picked, groups) for side, picked in zip((first, than), best, strict=True)]
    tuned = _judged(claim, make_pairs(claim, *sides, pair))
    values = in_order([*column(first, axis), *column(than, axis)])
    fixed = {value: _judged(claim, _at(claim, first, than, pair, value)) for value in values}
    numbers = {**tuned.numbers, **_tuning(axis, values, best, fixed)}
    suits = [one[axis] for one in numbers["fixed"] if one["suits"]]
    enough = [value for value in suits if fixed[value].numbers["enough"] and tuned.numbers["enough"]]
    return _weighed(tuned, numbers, [value for value in enough if fixed[value].word != tuned.word])


def _tuning(axis: str, values: Sequence, best: Sequence[Mapping[tuple, Best]], fixed: Mapping[Plain, Verdict]) -> dict:
    """The best values of each side, how many of them lie at the edge of the grid, and the words at fixed values."""
    reached = [[one.value for one in picked.values() if one.reached] for picked in best]
    suits = set(sum(reached, []))
    edges = (values[0], values[-1]) if len(values) > 2 else ()
    return {
        "retuned": axis,
        "best": {side: in_order(picked) for side, picked in zip(SIDES, reached, strict=True)},
        "at_edge": sum(value in edges for picked in reached for value in picked),
        "tuned_groups": sum(map(len, reached)),
        "fixed": [
            {axis: value, "word": one.word, "effect": one.numbers["effect"], "suits": value in suits}
            for value, one in fixed.items()
        ],
    }


def _at(claim: Claim, first: pd.DataFrame, than: pd.DataFrame, pair: Sequence[str], value) -> Pairs:
    """The pairs with one value of the axis on both sides."""
    return make_pairs(claim, *(where(side, {claim.retuned: value}) for side in (first, than)), pair)


def _weighed(tuned: Verdict, numbers: dict[str, Plain], others: Sequence) -> Verdict:
    """The verdict in view of `others`, the values of the retuned axis that change the word."""
    axis, best = numbers["retuned"], numbers["best"]
    chosen = " and ".join(", ".join(map(str, best[side])) or "none" for side in SIDES)
    notes = f"Best {axis}: {chosen}"
    if numbers["at_edge"]:
        notes += f"; at the edge of the grid in {numbers['at_edge']} of {numbers['tuned_groups']} cases"
    if not others:
        return Verdict(tuned.word, numbers, f"{tuned.sentence} {notes}.")
    opposite = NOT_REPRODUCED if tuned.word == REPRODUCED else REPRODUCED
    values = ", ".join(map(str, others))
    sentence = f"Confounded: {opposite} with {axis} {values} on both sides. With each side's best {axis}:"
    return Verdict(CONFOUNDED, numbers, f"{sentence} {tuned.sentence[0].lower()}{tuned.sentence[1:]} {notes}.")

"""A claim of a note as data: which rows of a study's table should do better than which, in what, and by how much."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real

from siren_fastai.study.experiment import Plain

__all__ = ["BETTER", "Claim", "read_claim"]

BETTER = ("higher", "lower")
REQUIRED = ("says", "measure", "better", "first", "than")


@dataclass(frozen=True)
class Claim:
    """One sentence of a note, and the comparison that decides it; `read_claim` makes it from a study's file."""

    says: str  # the note's sentence
    measure: str  # a column of the results
    better: str  # "higher" or "lower"
    first: Mapping[str, Plain]  # the rows that the sentence says are better: axes or settings, with their values
    than: Mapping[str, Plain]  # the rows that they are compared with
    at_least: float | None = None  # the difference of a pair, in the measure's unit; None: better by any amount
    ratio: float | None = None  # instead of a difference: how many times better
    pair: Sequence[str] | None = None  # columns in which the rows of a pair agree; None: the axes that are left
    retuned: str | None = None  # the axis of which each side takes its best value, such as "lr"

    @property
    def margin(self) -> float:
        """The effect that the median pair needs: `ratio`, or a difference, at least 0."""
        return self.ratio if self.ratio is not None else self.at_least or 0.0

    @property
    def neutral(self) -> float:
        """The effect of a pair whose sides are equal: 1 for a ratio, 0 for a difference."""
        return 0.0 if self.ratio is None else 1.0


def read_claim(
    claim: Claim | Mapping[str, Plain],  # the keys of `Claim`; the first five must be there
) -> Claim:
    """Return the claim with its values checked.

    Raises: ValueError that names the claim and its key, for missing or unknown keys and for values that make no sense.
    """
    if isinstance(claim, Claim):
        return claim
    if not isinstance(claim, Mapping):
        raise ValueError(f"a claim must be a mapping with the keys {', '.join(REQUIRED)}, got {claim!r:.80}")
    name = f"the claim {claim.get('says')!r:.60}"
    known = [field.name for field in fields(Claim)]
    if missing := [key for key in REQUIRED if key not in claim]:
        raise ValueError(f"{name} needs {', '.join(missing)}")
    if unknown := [key for key in claim if key not in known]:
        raise ValueError(f"{name} has no key {', '.join(map(str, unknown))}; it has {', '.join(known)}")
    problem = _problem(claim)
    if problem:
        raise ValueError(f"{name}: {problem}")
    return Claim(**{str(key): value for key, value in claim.items()})


def _problem(claim: Mapping) -> str | None:
    """What is wrong with the values, or None."""
    for key in ("says", "measure", *(["retuned"] if claim.get("retuned") is not None else [])):
        if not isinstance(claim[key], str) or not claim[key]:
            return f"`{key}` must be text, got {claim[key]!r:.60}"
    if claim["better"] not in BETTER:
        return f"`better` must be {' or '.join(BETTER)}, got {claim['better']!r:.60}"
    for key in ("first", "than"):
        if not isinstance(claim[key], Mapping) or not claim[key]:
            return f"`{key}` must name at least one column and its value, such as {{mult: 2}}, got {claim[key]!r:.60}"
    if claim["first"] == claim["than"]:
        return "`first` and `than` are the same rows"
    return _pairing_problem(claim) or _margin_problem(claim)


def _pairing_problem(claim: Mapping) -> str | None:
    pair, retuned = claim.get("pair"), claim.get("retuned")
    if pair is not None and not (isinstance(pair, (list, tuple)) and all(isinstance(name, str) for name in pair)):
        return f"`pair` must be a list of columns, got {pair!r:.60}"
    if retuned in (pair or ()) or retuned in claim["first"] or retuned in claim["than"]:
        return f"`retuned` is {retuned!r}, which `first`, `than` or `pair` hold fixed"
    return None


def _margin_problem(claim: Mapping) -> str | None:
    for key in ("at_least", "ratio"):
        value = claim.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value)):
            return f"`{key}` must be a number, got {value!r:.60}"
    if claim.get("at_least") is not None and claim.get("ratio") is not None:
        return "give `at_least` or `ratio`, not both"
    if claim.get("ratio") is not None and claim["ratio"] <= 0:
        return f"`ratio` must be above 0, got {claim['ratio']!r}"
    return None

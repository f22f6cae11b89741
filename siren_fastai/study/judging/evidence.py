"""What the pairs of a claim lack for it, and their numbers, for programs and in words."""

import math
from collections.abc import Mapping, Sequence

from siren_fastai.study.experiment import Plain
from siren_fastai.study.judging.claims import Claim
from siren_fastai.study.judging.pairs import Pairs
from siren_fastai.study.results import told
from siren_fastai.study.table import median, spread

__all__ = ["MIN_SEEDS", "in_words", "numbers_of_pairs", "shortfalls", "too_few"]

MIN_SEEDS = 3
CONTRARY_SHARE = 0.1  # of the pairs may point the other way, so of fewer than ten none
ROUNDING = 1e-9  # a difference of 0.1 may come out as 0.0999999999999999


def too_few(pairs: Pairs) -> list[str]:
    """Why the pairs are too few to judge, if they are."""
    if not pairs.effects:
        return ["no row of `first` has a partner in `than`"]
    for group, places in pairs.by_group().items():
        seeds = len({pairs.seeds[place] for place in places})
        if seeds < MIN_SEEDS:
            where = f" of {_name(pairs, group)}" if group else ""
            return [f"{_counted(seeds, 'seed')}{where}, and {MIN_SEEDS} are needed"]
    return []


def shortfalls(claim: Claim, pairs: Pairs) -> list[str]:
    """What the pairs lack for the claim, the weightiest first."""
    if not pairs.effects:
        return []
    found, middle, floor = [], _median(pairs.effects), min(claim.margin, claim.neutral)
    if not _reaches(claim, middle):
        missing = all(map(math.isnan, pairs.effects))
        found.append("neither side has a number" if missing else f"the median pair falls short of {_margin(claim)}")
    for group, places in pairs.by_group().items():
        known = [pairs.effects[place] for place in places if not math.isnan(pairs.effects[place])]
        if known and median(known) < floor - ROUNDING:
            found.append(f"the median of {_name(pairs, group)} points the other way")
    contrary = sum(one < floor - ROUNDING for one in pairs.effects)
    if contrary > CONTRARY_SHARE * len(pairs.effects):
        found.append(f"{contrary} of {len(pairs.effects)} pairs point the other way")
    return found


def _reaches(claim: Claim, value: float) -> bool:
    if claim.ratio is None and claim.at_least is None:
        return value > 0
    return value >= claim.margin - ROUNDING


def _median(effects: Sequence[float]) -> float:
    """The median effect, where pairs without a number are worse than all others."""
    return median([-math.inf if math.isnan(value) else value for value in effects])


def _margin(claim: Claim) -> str:
    if claim.ratio is not None:
        return f"{claim.ratio:g} times"
    return "any advantage" if claim.at_least is None else f"{claim.at_least:g}"


def _name(pairs: Pairs, group: tuple) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(pairs.group_names, group, strict=True)) or "the seeds"


def numbers_of_pairs(claim: Claim, pairs: Pairs) -> dict[str, Plain]:
    floor = min(claim.margin, claim.neutral) - ROUNDING
    groups = pairs.by_group().items()
    return {
        "pairs": len(pairs.effects),
        "seeds": len(set(pairs.seeds)),
        "enough": not too_few(pairs),
        "unpaired": pairs.unpaired,
        "contrary": sum(value < floor for value in pairs.effects),
        "first": spread(pairs.first, claim.better),
        "than": spread(pairs.than, claim.better),
        "kind": "difference" if claim.ratio is None else "ratio",
        "effect": _range(pairs.effects),
        "groups": [
            {**dict(zip(pairs.group_names, group, strict=True)), **_range([pairs.effects[i] for i in places])}
            for group, places in groups
        ],
    }


def _range(effects: Sequence[float]) -> dict[str, float | int | None]:
    """Median, minimum and maximum of the effects; infinite where only one side has a number."""
    known = [value for value in effects if not math.isnan(value)]
    found = {"median": _median(effects), "min": min(known), "max": max(known)} if known else {}
    return {"median": None, "min": None, "max": None, **found, "count": len(effects)}


def in_words(claim: Claim, numbers: Mapping) -> str:
    """The numbers in words."""
    alone = f"; {_counted(numbers['unpaired'], 'row')} without a partner" if numbers["unpaired"] else ""
    if not numbers["pairs"]:
        return f"{claim.measure}: nothing to compare{alone}."
    sides = f"{claim.measure} {told(numbers['first'])} against {told(numbers['than'])}"
    seeds = f"{_counted(numbers['pairs'], 'pair')}, {_counted(numbers['seeds'], 'seed')}{alone}"
    if numbers["effect"]["median"] is None:
        return f"{sides}; {seeds}."
    return f"{sides}; {numbers['kind']} {told(numbers['effect'])} in {seeds}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"

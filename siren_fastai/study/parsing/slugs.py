"""A folder's name for each combination of a matrix: short, safe on every file system, unique."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from siren_fastai.study.experiment import Plain

__all__ = ["numbers", "slugs"]

MAX_VALUE = 30  # characters of one value
MAX_SLUG = 150
_NOT_SAFE = re.compile(r"[^A-Za-z0-9.,_-]+")


def slugs(
    combinations: Sequence[Mapping[str, Plain]],  # of a whole matrix, in order
) -> list[str]:
    """Return `key-value_key-value` for each, of ASCII letters, digits and `.,-_`, at most 150 characters.

    Values are shortened to 30 characters. Where two come out alike, also if only upper and lower case differ, both
    get their number. The names depend on the matrix alone.
    """
    found = ["_".join(f"{key}-{_short(value)}" for key, value in axes.items()) for axes in combinations]
    found = [slug[:MAX_SLUG] for slug in found]
    ids = numbers(len(found))
    for everyone in (False, True):
        alike = Counter(slug.casefold() for slug in found)
        if max(alike.values()) > 1:
            found = [
                f"{slug[: MAX_SLUG - len(i) - 1]}_{i}" if everyone or alike[slug.casefold()] > 1 else slug
                for slug, i in zip(found, ids, strict=True)
            ]
    return found


def numbers(n: int) -> list[str]:
    """Return "1" to `n`, padded with zeros to one width."""
    return [f"{number:0{len(str(n))}d}" for number in range(1, n + 1)]


def _short(value: Plain) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return _NOT_SAFE.sub("", text)[:MAX_VALUE]

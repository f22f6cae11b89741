"""The axes of a study file: each a name and the list of its values; and the filter on their combinations."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from keyword import iskeyword

from siren_fastai.study.experiment import Plain
from siren_fastai.study.parsing.document import Document
from siren_fastai.study.parsing.filters import Filter

__all__ = ["SPECIAL", "STUDY_KEYS", "read_axes", "read_filter"]

STUDY_KEYS = ("title", "source", "protocol", "experiment", "full", "claims", "figures")  # of the study, not settings
SPECIAL = ("matrix_slug", "matrix_id")
RESERVED = (*SPECIAL, *STUDY_KEYS, "matrix", "number", "slug", "refused")  # the last: columns of the results
MAX_COMBINATIONS = 10_000


def read_axes(
    document: Document,  # with a `matrix`
) -> dict[str, list]:
    """Return the values of each axis, in order. Raises: ValueError that names the file, the line and the axis."""
    matrix = document.values.get("matrix")
    if not isinstance(matrix, dict) or not set(matrix) - {"$filter"}:
        raise document.error(("matrix",), "expected axes, each a name and the list of its values: `seed: [0, 1, 2]`")
    axes = {name: values for name, values in matrix.items() if name != "$filter"}
    for name, values in axes.items():
        problem = _name_problem(name) or _values_problem(name, values)
        if problem:
            raise document.error(("matrix", name), problem)
    n = math.prod(map(len, axes.values()))
    if n > MAX_COMBINATIONS:
        problem = f"{n:,} combinations; a study has at most {MAX_COMBINATIONS:,}: shorten an axis or split the study"
        raise document.error(("matrix",), problem)
    return axes


def read_filter(
    document: Document,  # with any `$filter` at the top or in the matrix
    axes: Mapping[str, list],
) -> Callable[[Mapping[str, Plain]], bool]:
    """Return whether a combination stays, by its axes' values. Raises: ValueError as `read_axes`; later calls too."""
    paths = [path for path in (("$filter",), ("matrix", "$filter")) if document.get(path) is not None]
    filters = [(path, _filter(document, path, axes)) for path in paths]

    def keep(values: Mapping[str, Plain]) -> bool:
        for path, condition in filters:
            try:
                if not condition(values):
                    return False
            except ValueError as error:
                raise document.error(path, str(error)) from None
        return True

    return keep


def _filter(document: Document, path: tuple[str, ...], axes: Mapping[str, list]) -> Filter:
    text = document.get(path)
    try:
        if not isinstance(text, str):
            raise ValueError(f"expected a condition such as ${{a}} <= ${{b}}, got {text!r:.60}")
        return Filter(text, axes)
    except ValueError as error:
        raise document.error(path, str(error)) from None


def _name_problem(name: str) -> str | None:
    if name in RESERVED:
        return f"{name!r} is reserved; give the axis another name"
    if not name.isidentifier() or not name.isascii() or iskeyword(name):
        return "an axis's name has letters, digits and _, begins with a letter, and isn't a word of Python's"
    return None


def _values_problem(name: str, values: Plain) -> str | None:
    if not isinstance(values, list):
        return f"expected a list of values, got {values!r:.60}; write {name}: [{values!s:.60}]"
    if not values:
        return "the list is empty; give it a value, or remove the axis"
    if any(isinstance(value, dict) for value in values):
        return "a value is text, a number, true, false, null or a list, not a mapping"
    if "${" in str(values):
        return "${name} stands in settings, not in an axis"
    twice = [value for value, n in Counter(map(repr, values)).items() if n > 1]
    return f"the value {twice[0]:.60} is there twice; remove one" if twice else None

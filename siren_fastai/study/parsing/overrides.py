"""Values given for one run, in place of those in a study's file: `epochs=5`, `hidden=[256,128]`, `matrix.seed=[0]`."""

import re
from collections.abc import Iterable, Mapping

from siren_fastai.study.experiment import Plain
from siren_fastai.study.parsing.document import MAX_DEPTH, Document, read_document

__all__ = ["overridden"]

_ITEM = re.compile(r"([\w$.]+\+?)=(.*)", re.DOTALL)


def overridden(
    document: Document,  # of a study
    overrides: Mapping[str, Plain] | Iterable[str],  # values by key, or texts `key=value` and `key+=value`
) -> Document:
    """Return `document` with other values. A key with dots leads into mappings.

    The name of an axis stands for its values: a list gives all of them, anything else the only one; where the values
    are lists themselves, so does a list of no lists. `+=` adds to the values of an axis, or to any list.
    Raises: ValueError that names the override.
    """
    if isinstance(overrides, str):
        raise ValueError(f"expected a list of key=value, got the text {overrides!r:.60}")
    items = overrides.items() if isinstance(overrides, Mapping) else map(_parsed, overrides)
    for key, value in items:
        document = _replaced(document, key.removesuffix("+"), _plain(value, key), key.endswith("+"))
    return document


def _parsed(item: str) -> tuple[str, Plain]:
    found = _ITEM.fullmatch(item)
    if not found:
        raise ValueError(f"expected key=value, got {item!r:.60}")
    key, text = found.groups()
    return key, read_document(text, f"override {key}").values if text.strip() else None


def _plain(value, key: str) -> Plain:
    """`value` without tuples, and without numbers of other libraries."""
    if isinstance(value, dict):
        return {str(name): _plain(item, key) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, key) for item in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ValueError(f"override {key}: expected text, numbers, lists or mappings, got {value!r:.60}")


def _replaced(document: Document, key: str, value: Plain, adds: bool) -> Document:
    path = tuple(key.split("."))
    if len(path) > MAX_DEPTH:
        raise ValueError(f"override {key:.40}...: nested more than {MAX_DEPTH} deep")
    axes = document.get(("matrix",))
    if isinstance(axes, dict) and key in axes:
        path, value = ("matrix", key), _axis_values(axes[key], value)
    if adds:
        old = document.get(path)
        if not isinstance(old, list):
            raise ValueError(f"override {key}+=: {key} is no list to add to, but {old!r:.60}")
        value = [*old, *(value if isinstance(value, list) else [value])]
    values = value
    for part in reversed(path):
        values = {part: values}
    changed = Document(document.name, values, {path: f"override {key}"})
    return changed.over(document)


def _axis_values(old: Plain, value: Plain) -> Plain:
    lists = isinstance(old, list) and old and all(isinstance(item, list) for item in old)
    one = not isinstance(value, list) or (lists and not all(isinstance(item, list) for item in value))
    return [value] if one else value

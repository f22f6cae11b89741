"""`${name}` in a study's settings: found and checked once, replaced for every combination."""

import difflib
from collections.abc import Collection, Iterator, Mapping

from siren_fastai.study.experiment import Plain
from siren_fastai.study.parsing.document import Document, Path, Unquoted
from siren_fastai.study.parsing.expressions import groups_thousands, plain_value
from siren_fastai.study.parsing.filters import REFERENCE

__all__ = ["check_references", "substituted"]


def check_references(
    document: Document,  # the settings
    names: Collection[str],  # what may stand in ${}
) -> set[str]:
    """Return the names that `document` refers to. Raises: ValueError, with its line, for one that isn't in `names`."""
    used = set()
    for path, text in _texts(document.values, ()):
        found = {name.strip() for name in REFERENCE.findall(text)}
        if "${" in REFERENCE.sub("", text):
            raise document.error(path, f"expected ${{name}}, got {text!r:.60}")
        unknown = min(found - set(names), default=None)
        if unknown is not None:
            raise document.error(path, f"${{{unknown}}} is unknown; {_hint(unknown, names)}")
        used |= found
    return used


def substituted(
    value: Plain,
    names: Mapping[str, Plain],  # what stands for each ${name}
) -> Plain:
    """Return a copy of `value` with every `${name}` replaced.

    Text that is `${name}` and no more becomes the value itself; within a longer text it is the value as text, and
    what was not quoted is then read as if it had been written so: `32 // ${a}` is a number.
    Raises: ValueError for arithmetic without a result.
    """
    if isinstance(value, dict):
        return {key: substituted(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [substituted(item, names) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = REFERENCE.fullmatch(value.strip())
    if whole:
        return substituted(names[whole[1].strip()], {})
    text = REFERENCE.sub(lambda found: str(names[found[1].strip()]), value)
    names_joined = not groups_thousands(REFERENCE.sub("", value))  # ${a}_${b} is no number
    return plain_value(text) if isinstance(value, Unquoted) and not names_joined else text


def _texts(value: Plain, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str) and "${" in value:
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _texts(item, (*path, str(key)))


def _hint(name: str, names: Collection[str]) -> str:
    if not names:
        return "${name} stands in settings only"
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean ${{{near[0]}}}?" if near else f"there are {', '.join(f'${{{n}}}' for n in names)}"

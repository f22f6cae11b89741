"""YAML text as plain values that remember their lines: the part of YAML that study files use.

Not understood, each an error with its line: anchors and aliases, tags, keys that are no text, several documents,
a key given twice. Quoted text and blocks stay text; what unquoted text means is `plain_value`'s to say. Parsing goes
event by event, so that a hostile text is refused at its first offence.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from siren_fastai.study.experiment import Plain
from siren_fastai.study.parsing.expressions import plain_value

__all__ = ["MAX_DEPTH", "Document", "Unquoted", "read_document"]

MAX_CHARACTERS = 100_000
MAX_DEPTH = 20
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's parser where PyYAML has it
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # NUL, and halves of characters
Path = tuple[str, ...]


class Unquoted(str):
    """Unquoted text with a `${name}`: its meaning is known after substitution."""


@dataclass
class Document:
    """What a text says: plain values, and where each was written, by its path of keys."""

    name: str
    values: Plain
    places: dict[Path, str] = field(default_factory=dict)

    def error(
        self,
        path: Path,  # the keys that lead to what is wrong
        problem: str,  # what was expected, what came, what to do
    ) -> ValueError:
        """Return an error that names the file, the line and the key."""
        known = next((path[:n] for n in range(len(path), -1, -1) if path[:n] in self.places), None)
        place = self.name if known is None else self.places[known]
        return ValueError(f"{place}: {'.'.join(path)}: {problem}" if path else f"{place}: {problem}")

    def over(
        self,
        base: "Document",  # what this one extends
    ) -> "Document":
        """Return `base` with the values of this one: mappings are merged key by key, all else is replaced."""
        return Document(self.name, _merged(base.values, self.values), {**base.places, **self.places})

    def get(
        self,
        path: Path,
    ) -> Plain:
        """Return the value under a path of keys; None if there is none."""
        value = self.values
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def without(
        self,
        *keys: str,  # of the top
    ) -> "Document":
        """Return the rest, which still knows where all was written."""
        return Document(self.name, {k: v for k, v in self.values.items() if k not in keys}, self.places)


def read_document(
    text: str,
    name: str,  # of the file, for messages
) -> Document:
    """Read YAML text. Raises: ValueError that names the file and the line."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{name}: a study file has at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
    bad = _NO_TEXT.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        raise ValueError(f"{name}, line {line}: the character {bad[0]!r} is no text; expected YAML")
    reader = _Reader(text, name)
    try:
        return Document(name, reader.whole(), reader.places)
    except yaml.YAMLError as error:
        raise ValueError(_syntax_error(error, text, name)) from None


def _merged(base: Plain, over: Plain) -> Plain:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{key: _merged(base[key], value) if key in base else value for key, value in over.items()}}


def _syntax_error(error: yaml.YAMLError, text: str, name: str) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"{name}: not YAML: {error}".replace("\n", " ")
    lines = text.splitlines() or [""]
    line = min(mark.line, len(lines) - 1)  # the end of the text lies after its last line
    hint = '; within [ ] and { }, write "${name}" with quotes' if "${" in lines[line] else ""
    return f"{name}, line {line + 1}: not YAML: {error.problem}{hint}"


class _Reader:
    """Turns the parser's events into values."""

    def __init__(self, text: str, name: str):
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self.name, self.places, self.flow = name, {}, 0

    def whole(self) -> Plain:
        next(self.events)  # the stream starts
        if isinstance(next(self.events), yaml.StreamEndEvent):
            raise ValueError(f"{self.name}: the file is empty")
        value = self.value(next(self.events), ())
        next(self.events)  # the document ends
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self.error(event, (), "a second document begins here; a study file has one")
        return value

    def error(self, event: yaml.Event, path: Path, problem: str) -> ValueError:
        keys = f"{'.'.join(path)}: " if path else ""
        return ValueError(f"{self.name}, line {event.start_mark.line + 1}: {keys}{problem}")

    def value(self, event: yaml.Event, path: Path) -> Plain:
        self.places[path] = f"{self.name}, line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise self.error(event, path, "anchors and aliases are not understood; use ${name} or $extends")
        if event.tag is not None:
            raise self.error(event, path, f"tags such as {event.tag!r:.60} are not understood")
        if len(path) > MAX_DEPTH:
            raise self.error(event, path[:3], f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, path)
        self.flow += bool(event.flow_style)
        value = self.mapping(path) if isinstance(event, yaml.MappingStartEvent) else self.sequence(path)
        self.flow -= bool(event.flow_style)
        return value

    def scalar(self, event: yaml.ScalarEvent, path: Path) -> Plain:
        text = event.value
        if event.style:  # quotes or a block
            return text
        if self.flow and text.count("(") != text.count(")"):
            raise self.error(event, path, f"{text!r:.60} is cut at a comma: within [ ], write a tuple as a list too")
        if "${" in text:
            return Unquoted(text)
        try:
            return plain_value(text)
        except ValueError as error:
            raise self.error(event, path, str(error)) from None

    def mapping(self, path: Path) -> dict[str, Plain]:
        values, lines = {}, {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, path)
            if key in values:
                raise self.error(event, (*path, key), f"given before, in line {lines[key]}; keep one of them")
            lines[key] = event.start_mark.line + 1
            values[key] = self.value(next(self.events), (*path, key))
            self.places[(*path, key)] = f"{self.name}, line {lines[key]}"
        return values

    def key(self, event: yaml.Event, path: Path) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag is not None:
            raise self.error(event, path, "a key must be plain text")
        if "${" in event.value:
            raise self.error(event, path, f"{event.value!r:.60}: ${{name}} stands in values, not in keys")
        return event.value

    def sequence(self, path: Path) -> list[Plain]:
        values = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self.value(event, (*path, str(len(values)))))
        return values

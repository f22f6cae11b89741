"""Config files: `key=value`, `key: value`, `flag=true`, `stuff=[a,b]`; comments; `[section]` and `---` are ignored.

The syntax is ConfigArgParse's. Mistakes that it accepts silently or reports vaguely are reported here with file, line
and remedy.
"""

import argparse
import difflib
import io
from collections import OrderedDict

from configargparse import ConfigFileParserException, DefaultConfigFileParser

__all__ = ["CheckedConfigFile", "check_value", "open_config"]

MAX_BYTES = 1_000_000
BOOLEANS = ("true", "yes", "on", "1", "false", "no", "off", "0")


def open_config(path: str) -> io.StringIO:
    """Open a config file, which may also be a pipe. Raises: ValueError beyond 1 MB, or for other than text."""
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError("a config file has at most 1 MB")
    try:
        stream = io.StringIO(content.decode("utf-8-sig"))  # with or without a byte order mark
    except UnicodeDecodeError:
        raise ValueError("not a text file in UTF-8; write key=value lines") from None
    stream.name = path
    return stream


def check_value(action: argparse.Action, value: str | list) -> str | None:
    """What is wrong with `value`, text or a list, for this option; None if it is valid."""
    if action.nargs == 0:
        allowed = isinstance(value, str) and value.lower() in BOOLEANS
        return None if allowed else f"expected true or false, got {value!r}"
    if isinstance(value, list) and action.nargs is None and not isinstance(action, argparse._AppendAction):
        return f"expected one value, got the list {value!r}"
    wanted = action.nargs if isinstance(action.nargs, int) else None
    if wanted and (not isinstance(value, list) or len(value) != wanted):
        return f"expected a list of {wanted} values, [{','.join('abcd'[:wanted])}], got {value!r}"
    for text in value if isinstance(value, list) else [value]:
        problem = _check_one(action, str(text))
        if problem:
            return problem
    return None


def _check_one(action: argparse.Action, text: str) -> str | None:
    try:
        value = action.type(text) if action.type else text
    except (argparse.ArgumentTypeError, ValueError, TypeError) as error:
        return str(error)
    if action.choices and value not in action.choices:
        return f"expected one of {', '.join(action.choices)}, got {text!r}"
    return None


class CheckedConfigFile(DefaultConfigFileParser):
    """ConfigArgParse's default syntax, with every key and value checked against `actions` (key -> action)."""

    def __init__(self):
        super().__init__()
        self.actions: dict[str, argparse.Action] = {}
        self.places: dict[str, str] = {}

    def get_syntax_description(self) -> str:
        """The sentence on config files in `--help`."""
        return "Config file syntax allows: key=value, key: value, flag=true, list=[a,b,c]."

    def parse(self, stream) -> OrderedDict:
        """The items of the file. Raises: ConfigFileParserException that names the file and the line."""
        name, items, seen = getattr(stream, "name", "config file"), OrderedDict(), {}
        for number, line in enumerate(stream, 1):
            place = f"{name}, line {number}"
            for key, value in self._items(line, place).items():
                action = self._action(key, place)
                problem = check_value(action, value)
                if action.dest in seen:
                    problem = f"given before, in line {seen[action.dest]}; keep one of them"
                if problem:
                    raise ConfigFileParserException(f"{place}: {key}: {problem}")
                seen[action.dest] = number
                items[key], self.places[key] = value, f"config file {place}"
        return items

    def place_of(self, key: str) -> str:
        """`config file <name>, line <n>` of a key that was read."""
        return self.places[key]

    def _items(self, line: str, place: str) -> OrderedDict:
        try:
            return super().parse([line])
        except ConfigFileParserException:
            raise ConfigFileParserException(f"{place}: expected key=value, got {line.strip()[:80]!r}") from None

    def _action(self, key: str, place: str) -> argparse.Action:
        if key not in self.actions:
            near = difflib.get_close_matches(key.strip("-"), self.actions, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else "`--help` lists the options"
            raise ConfigFileParserException(f"{place}: unknown key {key!r}; {hint}")
        if getattr(self.actions[key], "is_config_file_arg", False):
            raise ConfigFileParserException(f"{place}: a config file cannot name another; leave {key!r} out")
        return self.actions[key]

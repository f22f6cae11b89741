"""A command and its options, as declared: no parser, nothing to import before a command runs."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Chosen", "Command", "Option", "integer", "positive"]


@dataclass(frozen=True)
class Option:
    """One option. `type` None makes it a flag; with `default` None, `help` states the default."""

    name: str
    help: str
    type: Callable | None = str
    default: object = None
    choices: tuple[str, ...] | None = None
    metavar: str | tuple[str, ...] | None = None
    short: str | None = None  # another spelling, such as "-c"
    nargs: int | str | None = None
    required: bool = False
    positional: bool = False


@dataclass
class Chosen:
    """The value of every option, as attributes, and where each came from: `sources`."""

    values: dict
    sources: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str):
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def given(self, name: str) -> bool:
        """Whether the user set it, anywhere."""
        return self.sources[name] != "default" and not self.sources[name].startswith(("preset", "checkpoint"))

    def fill(self, values: dict, source: str) -> None:
        """Set the options that the user left open."""
        for name, value in values.items():
            if not self.given(name):
                self.values[name], self.sources[name] = value, source

    def listing(self) -> str:
        """Every option, its value and its source, one per line."""
        rows = [(name, _shown(value), self.sources[name]) for name, value in self.values.items()]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "\n".join(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}" for name, value, source in rows)


def _shown(value) -> str:
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Command:
    """A command: what `--help` says, its options in titled groups, and what it does.

    `run` returns the exit code. `complete` fills options that the user left open, before `--print_config` lists them.
    `advice` adds what to do to the message of an error: "memory", "space" (a full disk) or "folder" (not writable).
    """

    name: str
    summary: str  # for the list of commands
    about: str
    usage: str  # what follows the name
    groups: dict[str, tuple[Option, ...]]
    run: Callable[[Chosen], int]
    complete: Callable[[Chosen], Chosen] | None = None
    notes: str = ""  # Markdown for docs/cli.md, below the options
    advice: dict[str, str] = field(default_factory=dict)

    @property
    def options(self) -> tuple[Option, ...]:
        """The options of all groups, in order."""
        return tuple(option for options in self.groups.values() for option in options)


def integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of integers of `least` or more, at most `most`."""

    def checked(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            allowed = f"of {least} or more" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be an integer {allowed}, got {text!r}")
        return number

    return checked


def positive(text: str) -> float:
    """The type of finite numbers above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return number

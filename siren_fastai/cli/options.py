"""A command and its options, as declared: no parser, nothing to import before a command runs."""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Chosen", "Command", "Option", "integer", "number", "positive", "text"]

MOST = 10**9  # of any integer: what is larger, the library could not finish
LARGEST_FLOAT = 3.4e38  # of float32, rounded down
SOURCES = ("config file", "environment", "command line")  # of values, the weakest first


def text(value: str) -> str:
    """The type of texts that aren't empty, and of files. No command reads standard input or writes files to output."""
    if value == "-":
        raise argparse.ArgumentTypeError("must name a file: - (standard input or output) is not supported")
    if not value.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    if "\0" in value:
        raise argparse.ArgumentTypeError(f"must not have a zero byte, got {value!r:.80}")
    return value


@dataclass(frozen=True)
class Option:
    """One option. `type` None makes it a flag; with `default` None, `help` states the default."""

    name: str
    help: str
    type: Callable | None = text
    default: object = None
    choices: tuple[str, ...] | None = None
    metavar: str | tuple[str, ...] | None = None
    short: str | None = None  # another spelling, such as "-c"
    nargs: int | str | None = None
    required: bool = False
    positional: bool = False
    repeated: bool = False  # given once for each of several values, which come as a list


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

    def named(self, name: str) -> str:
        """The option as the user gave it: `--bpp`, or `--bpp (config file run.ini, line 1)`."""
        source = self.sources[name]
        return f"--{name}" if source == "command line" else f"--{name} ({source})"

    def keep_strongest(self, names: Sequence[str]) -> list[str]:
        """Of these options, which exclude one another, drop those that a stronger source overrides; return the others.

        The command line is stronger than the environment, and that than the config file.
        """
        given = [name for name in names if self.given(name) and self.values[name] not in (None, False)]
        strength = {name: _strength(self.sources[name]) for name in given}
        kept = [name for name in given if strength[name] == max(strength.values())]
        for name in set(given) - set(kept):
            self.sources[name] += f", overridden by --{kept[0]}"
            self.values[name] = False if self.values[name] is True else None
        return kept

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


def _strength(source: str) -> int:
    """How strong a source is, from its description."""
    return next(i for i, kind in enumerate(SOURCES) if source.startswith(kind))


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
    on_interrupt: str = ""  # what it does after the first Ctrl-C, if it doesn't end at once

    @property
    def options(self) -> tuple[Option, ...]:
        """The options of all groups, in order."""
        return tuple(option for options in self.groups.values() for option in options)


def integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of integers of `least` or more, at most `most`; None is a billion."""

    def checked(value: str) -> int:
        try:
            found = int(value)
        except ValueError:
            found = least - 1
        if not least <= found <= (MOST if most is None else most):
            allowed = f"of {least} or more" if most is None else f"from {least} to {most}"
            allowed = f"from {least} to {MOST}" if most is None and found > MOST else allowed
            raise argparse.ArgumentTypeError(f"must be an integer {allowed}, got {value!r:.80}")
        return found

    return checked


def number(value: str) -> float:
    """The type of finite numbers that float32 can hold."""
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not abs(found) <= LARGEST_FLOAT:
        raise argparse.ArgumentTypeError(f"must be a finite number, got {value!r:.80}")
    return found


def positive(value: str) -> float:
    """The type of numbers above 0 that float32 can hold."""
    try:
        found = float(value)
    except ValueError:
        found = 0.0
    if not 0 < found <= LARGEST_FLOAT:
        most = f" and at most {LARGEST_FLOAT:g}" if LARGEST_FLOAT < found else ""
        raise argparse.ArgumentTypeError(f"must be a number above 0{most}, got {value!r:.80}")
    return found

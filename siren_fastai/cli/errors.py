"""Messages: how a command ends when it cannot go on, with one line, no traceback and an exit code; and warnings."""

import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

__all__ = [
    "CommandError",
    "FAILURE",
    "INTERRUPTED",
    "USAGE",
    "as_usage",
    "did_you_mean",
    "in_options",
    "one_line",
    "warn",
]

FAILURE, USAGE, INTERRUPTED = 1, 2, 130
LONGEST = 600  # characters of a message: torch's may hold a stack


def warn(message: str) -> None:
    """Print a warning on standard error."""
    print(f"siren-fastai: warning: {one_line(message)}", file=sys.stderr, flush=True)


class CommandError(Exception):
    """A message for the user and an exit code: `USAGE` for wrong arguments, `FAILURE` for what went wrong later."""

    def __init__(self, message: str, code: int = USAGE):
        super().__init__(message)
        self.code = code


@contextmanager
def as_usage(
    about: str = "",  # before the message
    options: Mapping[str, str] | None = None,  # the option for an argument with another name; `main` does the others
) -> Iterator[None]:
    """Turn the library's errors about its arguments into usage errors. Errors of the system pass."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        message = " ".join(str(error).split())[:LONGEST]
        raise CommandError(about + in_options(message, options or {})) from error


def did_you_mean(
    name: str,
    names: Iterable[str],  # that there are
    prefix: str = "",  # of all of them, which makes them no more alike
) -> str:
    """Return `; did you mean ...?` with the name that is most like `name`, or nothing if none is."""
    near = difflib.get_close_matches(name.removeprefix(prefix), [n.removeprefix(prefix) for n in names], n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def one_line(message: str) -> str:
    """Return `message` with line breaks and other control characters, as of a file's name, as escapes such as \\n."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


def in_options(message: str, options: Mapping[str, str]) -> str:
    """Return the message with the arguments that it names, such as `lr`, as options, such as --lr."""
    return re.sub(r"`(\w+)`", lambda m: f"--{options[m[1]]}" if m[1] in options else m[0], message)

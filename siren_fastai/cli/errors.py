"""How a command ends when it cannot go on: one message, no traceback, an exit code."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["CommandError", "FAILURE", "INTERRUPTED", "USAGE", "as_usage", "in_options"]

FAILURE, USAGE, INTERRUPTED = 1, 2, 130


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
        raise CommandError(about + in_options(str(error), options or {})) from error


def in_options(message: str, options: Mapping[str, str]) -> str:
    """Return the message with the arguments that it names, such as `lr`, as options, such as --lr."""
    return re.sub(r"`(\w+)`", lambda m: f"--{options[m[1]]}" if m[1] in options else m[0], message)

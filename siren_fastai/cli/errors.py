"""How a command ends when it cannot go on: one message, no traceback, an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["CommandError", "FAILURE", "INTERRUPTED", "USAGE", "as_usage"]

FAILURE, USAGE, INTERRUPTED = 1, 2, 130


class CommandError(Exception):
    """A message for the user and an exit code: `USAGE` for wrong arguments, `FAILURE` for what went wrong later."""

    def __init__(self, message: str, code: int = USAGE):
        super().__init__(message)
        self.code = code


@contextmanager
def as_usage(about: str = "") -> Iterator[None]:
    """Turn the library's errors about its arguments into usage errors, with `about` before the message."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise CommandError(f"{about}{error}") from error

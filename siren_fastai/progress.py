"""How far a command is and how long the rest of it takes, on standard error; it knows nothing of what is computed."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

__all__ = ["Progress", "duration"]

LINE_S, LINE_SHARE = 10.0, 0.1  # without a terminal: a line every 10 s, and later whenever a tenth more time has passed
ANNOUNCE_S = 2.0  # after which the time is known well enough to be announced
BRIEF_S = 10.0  # what takes no longer is not announced


class Progress:
    """Shows the share that is done and the time left of the whole command.

    On a terminal, one line is redrawn a few times a second; otherwise, as in a log, lines come now and then. After two
    seconds it says once how long the whole takes, if that is more than ten. The time is that of the work done so far,
    in proportion.
    """

    def __init__(
        self,
        stream: TextIO | None = None,  # None is standard error
        every_s: float = 0.2,  # between drawings on a terminal
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.stream, self.every_s, self.clock = stream or sys.stderr, every_s, clock
        self.on_terminal = self.stream.isatty()
        self.first, self.shown, self.announced = None, self.clock(), False

    def show(
        self,
        done: float,  # share of the work, from 0 to 1
        text: str = "",  # what is being done, such as "epoch 3/30"
        bound: str = "about",  # "up to" if the work may turn out to be less
    ) -> None:
        """Show how far it is, unless that was shown just before."""
        now, done = self.clock(), min(done, 1.0)
        self.first = (now, done) if self.first is None else self.first
        passed, worked = now - self.first[0], done - self.first[1]
        left = (1 - done) * passed / worked if worked > 0 else None
        if left is not None and passed >= ANNOUNCE_S and not self.announced:
            self._announce(left + passed, bound)
        every_s = self.every_s if self.on_terminal else max(LINE_S, LINE_SHARE * passed)
        if now - self.shown >= every_s and (self.on_terminal or left is not None):
            self.shown = now
            self._draw(done, text, "" if left is None else f"{duration(left)} left")

    def say(self, message: str) -> None:
        """Print a line on standard output, above the progress line."""
        self.clear()
        print(message, flush=True)

    def clear(self) -> None:
        """Remove the progress line."""
        if self.on_terminal:
            self._write("\r\033[K")

    def _announce(self, seconds: float, bound: str) -> None:
        self.announced = True
        if seconds > BRIEF_S:
            self.clear()
            self._write(f"this takes {bound} {duration(seconds)}\n")

    def _draw(self, done: float, *texts: str) -> None:
        rest = "".join(f"  {text}" for text in texts if text)
        if self.on_terminal:
            self._write(f"\r\033[K[{'#' * int(30 * done):<30}]{rest}")
        else:
            self._write(f"{100 * done:3.0f} %{rest}\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the terminal was closed: what is computed is still to be written
            self.stream.write(text)
            self.stream.flush()


def duration(
    seconds: float,
) -> str:
    """Return `1:23`, or `2:01:23` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

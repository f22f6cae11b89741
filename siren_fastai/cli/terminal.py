"""What a command shows while it runs: a progress line."""

import sys
import time

from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback

__all__ = ["ProgressLine"]


class ProgressLine(Callback):
    """Redraw `[####    ] epoch 12/300  1:23 left` on standard error, a few times a second, if that is a terminal.

    `say` prints a line above it, or just prints if there is no terminal.
    """

    order, run_valid = ProgressCallback.order, False

    def __init__(self, stream=None, every_s: float = 0.2):
        self.stream, self.every_s, self.shown = stream or sys.stderr, every_s, 0.0
        self.on_terminal = self.stream.isatty()

    def before_fit(self):
        self.began, self.first = time.perf_counter(), None

    def after_batch(self):
        now, done = time.perf_counter(), self.pct_train
        self.first = done if self.first is None else self.first
        if self.on_terminal and now - self.shown > self.every_s:
            self.shown = now
            left = (1 - done) * (now - self.began) / max(done - self.first, 1e-9) if done > self.first else None
            self._draw(done, "" if left is None else f"  {int(left) // 60}:{int(left) % 60:02d} left")

    def _draw(self, done: float, left: str):
        bar = "#" * int(30 * done)
        self.stream.write(f"\r\033[K[{bar:<30}] epoch {self.epoch + 1}/{self.n_epoch}{left}")
        self.stream.flush()

    def say(self, text: str) -> None:
        """Print a line above the progress line."""
        self.clear()
        print(text, flush=True)

    def clear(self) -> None:
        """Remove the progress line, as at the end of a fit."""
        if self.on_terminal:
            self.stream.write("\r\033[K")
            self.stream.flush()
            self.shown = 0.0

    def after_fit(self):
        self.clear()

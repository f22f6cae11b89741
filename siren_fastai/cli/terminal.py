"""The progress of training, as callbacks: of one fit, of the fits of a compression, of chunks of a rendering."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from torch import nn

from siren_fastai.codec.plan import Plan
from siren_fastai.progress import Progress

__all__ = ["EncodeProgress", "ProgressLine", "render_progress"]


class ProgressLine(Callback):
    """Show how far a fit is: its epoch, and the time left."""

    order, run_valid = ProgressCallback.order, False

    def __init__(self, progress: Progress | None = None):
        self.progress = Progress() if progress is None else progress

    def after_batch(self):
        self.progress.show(self.pct_train, f"epoch {self.epoch + 1}/{self.n_epoch}")

    def say(self, message: str) -> None:
        """Print a line above the progress line."""
        self.progress.say(message)

    def clear(self) -> None:
        """Remove the progress line."""
        self.progress.clear()

    def after_fit(self):
        self.clear()


class EncodeProgress(ProgressLine):
    """Show how far a compression is, over all its fits; or several compressions.

    `plan` is called before each encode, as `compress(on_plan=...)` does it.
    """

    def __init__(
        self,
        total: float | None = None,  # work of all encodes, by `Plan.work_until`; None is that of `tries` like the first
        tries: int = 1,  # encodes, at most
        progress: Progress | None = None,
    ):
        super().__init__(progress)
        self.total, self.tries, self.before, self.n, self.current = total, tries, 0.0, 0, None

    @property
    def options(self) -> dict:
        """The arguments of `compress` that tell it of the work."""
        return {"cbs": [self], "on_plan": self.plan}

    def plan(self, plan: Plan) -> None:
        """Note what the next encode is to do."""
        if self.current is not None:
            self.before += self.current.work_until(self.planned)
        self.current, self.n, self.steps, self.planned = plan, self.n + 1, 0, plan.steps

    def before_fit(self):
        self.planned = max(self.planned, self.steps + self.n_epoch * len(self.dls.train))  # a fit that was restarted

    def after_batch(self):
        self.steps += 1
        total = self.total or self.before + (self.tries - self.n + 1) * self.current.work_until(self.planned)
        text = f"try {self.n} of at most {self.tries}" if self.tries > 1 else ""
        done = self.before + self.current.work_until(self.steps)
        self.progress.show(done / total, text, "up to" if self.tries > 1 else "about")


@contextmanager
def render_progress(model: nn.Module, n_positions: int) -> Iterator[None]:
    """Show how far a rendering of `n_positions` by `model` is, in the block."""
    progress, seen = Progress(), 0

    def count(module, inputs, output):
        nonlocal seen
        seen += len(inputs[0])
        progress.show(seen / n_positions)

    handle = model.register_forward_hook(count)
    try:
        yield
    finally:
        handle.remove()
        progress.clear()

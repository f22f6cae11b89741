"""The samples with the highest loss, and a drawing or table of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback  # noqa: F401  gives Learner.no_bar
from fastai.learner import Learner
from matplotlib.figure import Figure
from torch import Tensor

from siren_fastai.figures import plt, show_pictures

__all__ = ["WorstSamples", "sample_losses", "worst_samples"]


@dataclass
class WorstSamples:
    """The `n` samples with the highest loss, the highest first."""

    index: list[int]  # in the loader's data set
    loss: list[float]
    inputs: list[tuple]  # what the network read, one tuple per sample
    outputs: list[Tensor]
    targets: list[tuple]

    def to_frame(self) -> pd.DataFrame:
        """A row for each sample: index, loss, and the prediction and target where they are short."""
        short = dict(prediction=[_short(o) for o in self.outputs], target=[_short(t[0]) for t in self.targets])
        columns = {name: values for name, values in short.items() if None not in values}
        return pd.DataFrame(dict(index=self.index, loss=self.loss) | columns)

    def show(self) -> Figure | pd.DataFrame:
        """Draw input, prediction and target of each where they are images; a table otherwise."""
        rows = [("input", [i[0] for i in self.inputs]), ("prediction", self.outputs)]
        rows += [("target", [t[0] for t in self.targets])]
        rows = [(title, images) for title, images in rows if _are_images(images)]
        if not rows:
            return self.to_frame()
        shown = torch.cat([image.flatten() for _, images in rows[:: len(rows)] for image in images]).float()
        value_range = (min(0.0, float(shown.min())), max(1.0, float(shown.max())))
        figure, axes = plt.subplots(
            len(rows), len(self.index), figsize=(1.9 * len(self.index), 2.2 * len(rows)), squeeze=False
        )
        for row, (title, images) in zip(axes, rows, strict=True):
            pictures = {f"{title} {i}": x[:3].movedim(0, -1) for i, x in zip(self.index, images, strict=True)}
            show_pictures(pictures, row, value_range=value_range)
        for ax, loss in zip(axes[-1], self.loss, strict=True):
            ax.set_xlabel(f"loss {loss:.3g}")
        figure.tight_layout()
        return figure


def worst_samples(
    learn: Learner,
    n: int = 6,  # samples to keep
    ds_idx: int = 1,  # the loader of `learn.dls`: 1 is validation, 0 training
) -> WorstSamples:
    """Return the samples with the highest loss, each by itself, in evaluation mode.

    Raises: ValueError unless `n` is 1 or more.
    """
    if n < 1:
        raise ValueError(f"`n` must be 1 or more samples, got {n!r}")
    keeper = _Keeper(n)
    with _kept_record(learn), learn.no_bar():
        learn.validate(dl=learn.dls[ds_idx].new(shuffle=False, drop_last=False), cbs=keeper)
    samples = sorted(keeper.samples, key=lambda sample: -sample[1])
    return WorstSamples(*(list(column) for column in zip(*samples, strict=True)))


def sample_losses(
    loss_func,  # of (outputs, *targets)
    outputs: Tensor,  # (n, ...)
    targets: tuple,  # tensors (n, ...)
) -> Tensor:  # (n,)
    """The loss of each sample. A loss that can't be asked for `reduction="none"` is called sample by sample."""
    n = len(outputs)
    if hasattr(loss_func, "reduction"):
        with _unreduced(loss_func):
            losses = loss_func(outputs, *targets)
        if losses.numel() % n == 0 and losses.numel():
            return losses.reshape(n, -1).mean(1)
    each = [loss_func(outputs[i : i + 1], *(t[i : i + 1] for t in targets)).mean() for i in range(n)]
    return torch.stack(each)


class _Keeper(Callback):
    """Keeps the `n` samples with the highest loss of a validation."""

    def __init__(self, n: int):
        self.n_kept, self.samples, self.seen = n, [], 0

    def after_loss(self):
        losses = sample_losses(self.loss_func, self.pred, self.yb).tolist()
        worst = sorted(range(len(losses)), key=lambda i: -losses[i])[: self.n_kept]
        for i in worst:
            inputs, targets = (tuple(x[i].detach().cpu() for x in batch) for batch in (self.xb, self.yb))
            self.samples.append((self.seen + i, losses[i], inputs, self.pred[i].detach().cpu(), targets))
        self.samples = sorted(self.samples, key=lambda sample: -sample[1])[: self.n_kept]
        self.seen += len(losses)


@contextmanager
def _kept_record(learn: Learner) -> Iterator[None]:
    """Leave what fastai's Recorder has of a fit: validation makes it begin anew."""
    recorder = getattr(learn, "recorder", None)
    owners = [] if recorder is None else [recorder, recorder.smooth_loss]
    before, record = [dict(vars(owner)) for owner in owners], getattr(learn, "final_record", None)
    try:
        yield
    finally:
        for owner, values in zip(owners, before, strict=True):
            vars(owner).update(values)
        learn.final_record = record


@contextmanager
def _unreduced(loss_func) -> Iterator[None]:
    before, loss_func.reduction = loss_func.reduction, "none"
    try:
        yield
    finally:
        loss_func.reduction = before


def _are_images(values: list) -> bool:
    return all(isinstance(x, Tensor) and x.dim() == 3 and x.is_floating_point() and len(x) in (1, 3, 4) for x in values)


def _short(value) -> float | list | None:
    """A value of eight numbers or fewer as plain numbers."""
    if not isinstance(value, Tensor) or value.numel() > 8:
        return None
    numbers = value.tolist()
    return [round(x, 4) for x in numbers] if isinstance(numbers, list) and value.dim() == 1 else numbers

"""Say what is wrong with a fit: underfitting, overfitting, a rate that is too high, samples that stand out."""

import copy
import random
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner, Recorder
from fastai.optimizer import OptimWrapper
from fastai.torch_core import find_bs, to_device
from torch import Tensor, nn

from siren_fastai.callbacks.worst_samples import worst_samples
from siren_fastai.health.state import kept_random_state
from siren_fastai.health.verdicts import Verdict, fit_verdict, memory_verdict, rate_verdict
from siren_fastai.processes import unwrapped

__all__ = ["Diagnose", "Overfit", "overfit_batch"]


class Diagnose(Callback):
    """Keep the losses of a fit and judge them: `learn.diagnose` shows verdicts, `learn.diagnose.show_worst()` samples.

    The training loss is the mean over the samples of an epoch, not fastai's running average, which lags. The losses are
    those of the last fit; they stay on the device until an epoch ends. `lr_find` and validation by itself add nothing.
    Verdicts are rules of thumb, with their numbers in `siren_fastai.health.verdicts`. They use the median of an epoch's
    batches, which an outlier doesn't change, and the loss of the first batch that this callback saw as that of an
    untrained network.
    Source: note 004, its checklist of underfitting, overfitting, spikes and outliers.
    """

    order, _stateattrs = Recorder.order + 1, ("unread",)

    def __init__(self):
        self.train_losses, self.valid_losses, self.step_losses, self.first_loss = [], [], [], None
        self.typical_losses = []  # the median of the batches of each epoch
        self._init_state()

    def _init_state(self):
        """fastcore's: after the constructor, and after loading, when the attributes in `_stateattrs` are missing."""
        self.unread = []

    def before_fit(self):
        self.keeping, self.started = False, False

    def before_train(self):
        self.keeping = not hasattr(self, "lr_finder")
        if self.keeping and not self.started:
            self.started = True
            self.train_losses, self.valid_losses, self.step_losses, self.typical_losses = [], [], [], []
        self.unread = []

    def after_batch(self):
        if self.keeping and len(self.yb):
            self.unread.append((self.loss.detach().mean(), find_bs(self.yb)))

    def after_train(self):
        if self.keeping:
            losses = [loss for loss, _ in self._read(self.train_losses)]
            self.step_losses += losses
            self.typical_losses += [statistics.median(losses)] if losses else []
            self.first_loss = self.step_losses[0] if self.first_loss is None else self.first_loss

    def after_validate(self):
        if self.keeping:
            self._read(self.valid_losses)

    def _read(self, means: list) -> list[tuple[float, int]]:
        """Move the losses of an epoch from the device, and add their mean over the samples to `means`."""
        if not self.unread:
            return []
        losses = torch.stack([loss for loss, _ in self.unread]).tolist()
        read, self.unread = list(zip(losses, (n for _, n in self.unread), strict=True)), []
        means.append(sum(loss * n for loss, n in read) / sum(n for _, n in read))
        return read

    @property
    def verdicts(self) -> list[Verdict]:
        """Of the last fit: how well it fits, and its learning rate. Raises: ValueError before any fit."""
        if not self.step_losses:
            raise ValueError("there is nothing to judge yet: `learn.fit` first, with Diagnose among the callbacks")
        fit = fit_verdict(self.typical_losses, self.valid_losses, self.first_loss)
        return [fit, rate_verdict(self.step_losses)]

    def show_worst(
        self,
        n: int = 6,  # samples
        ds_idx: int = 1,  # 1 for the validation samples, 0 for those of training
    ):
        """Show the samples with the highest loss: a figure of images, or else a table (`worst_samples` has more)."""
        return worst_samples(self.learn, n, ds_idx).show()

    def __repr__(self) -> str:
        return "\n".join(map(str, self.verdicts)) if self.step_losses else "Diagnose(no fit yet)"


@dataclass(frozen=True)
class Overfit:
    """The losses of training on one batch, and what they say."""

    losses: list[float]  # before each step, and after the last
    verdict: Verdict

    def __repr__(self) -> str:
        return str(self.verdict)


def overfit_batch(
    learn: Learner,
    steps: int = 100,  # on the same batch
    lr: float | None = None,  # None is the learner's
    batch: tuple | None = None,  # what a loader gives; None takes one of the training loader
) -> Overfit:
    """Train a copy of the network on one batch again and again: a sound network memorises it.

    The copy begins with the network's present weights, without weight decay and without the learner's callbacks. The
    learner, its loaders and the global random states stay as they are.
    Raises: ValueError for fewer steps than 1, or a learner whose `opt_func` is an optimiser that was made already.
    """
    if steps < 1:
        raise ValueError(f"`steps` must be 1 or more, got {steps!r}")
    if isinstance(learn.opt_func, OptimWrapper):
        raise ValueError("`overfit_batch` needs a learner whose `opt_func` makes an optimiser, not one that is made")
    with kept_random_state(), _kept_loader(learn.dls.train):
        model = copy.deepcopy(unwrapped(learn.model)).train()
        inputs, targets = _split(learn, learn.dls.train.one_batch() if batch is None else batch, model)
        opt = learn.opt_func(learn.splitter(model), lr=1e-3)
        opt.set_hyper("lr", learn.lr if lr is None else lr)
        if "wd" in opt.hypers[0]:
            opt.set_hyper("wd", 0.0)
        losses = _memorise(model, copy.deepcopy(learn.loss_func), opt, inputs, targets, steps)
    return Overfit(losses, memory_verdict(losses))


def _memorise(model: nn.Module, loss_func, opt, inputs: tuple, targets: tuple, steps: int) -> list[float]:
    """The loss before each step on the same batch, and after the last."""
    losses = []
    for _ in range(steps):
        loss = loss_func(model(*inputs), *targets).mean()
        losses.append(loss.detach())
        loss.backward()
        opt.step()
        opt.zero_grad()
    with torch.no_grad():
        losses.append(loss_func(model(*inputs), *targets).mean())
    return torch.stack(losses).tolist()


def _split(learn: Learner, batch: tuple, model: nn.Module) -> tuple[tuple, tuple]:
    """Inputs and targets as plain tensors on the network's device, as fastai's training loop has them."""
    batch = to_device(tuple(batch), next(model.parameters()).device)
    batch = tuple(x.as_subclass(Tensor) if isinstance(x, Tensor) else x for x in batch)
    n_inp = getattr(learn.dls, "n_inp", 1 if len(batch) == 1 else len(batch) - 1)
    return batch[:n_inp], batch[n_inp:]


@contextmanager
def _kept_loader(dl) -> Iterator[None]:
    """Leave a loader and its data set as they were, such as their random states and what they count."""
    owners = [dl, getattr(dl, "dataset", None)]
    before = [dict(vars(owner)) if hasattr(owner, "__dict__") else None for owner in owners]
    generators = [value for value in vars(dl).values() if isinstance(value, random.Random)]
    states = [generator.getstate() for generator in generators]
    try:
        yield
    finally:
        for owner, values in zip(owners, before, strict=True):
            if values is not None:
                vars(owner).clear(), vars(owner).update(values)
        for generator, state in zip(generators, states, strict=True):
            generator.setstate(state)

"""`stack_learner`: one fastai Learner that fits many networks of one shape, each to its own data at its own rate."""

import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from fastai.callback.mixup import MixHandler
from fastai.callback.training import GradientClip
from fastai.learner import Learner
from fastcore.meta import delegates
from matplotlib.figure import Figure
from torch import Tensor, nn

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.callbacks.snapshots import SnapshotCallback
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.data import PixelDataLoaders
from siren_fastai.data.stacked import StackDataLoaders
from siren_fastai.default_model import model_for
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.models.stack import Stack, stack_models, unstack_models
from siren_fastai.optimizers import fast_adam
from siren_fastai.stacks.adam import ELEMENTWISE, stacked_adam
from siren_fastai.stacks.fields import save_fields
from siren_fastai.stacks.history import StackHistory
from siren_fastai.stacks.results import show_results

__all__ = ["StackLearner", "StackLoss", "stack_learner"]


MIXING = (GradientClip, MixHandler, QuantizeAware, TrainingWheels)  # one norm, mixture, step size or way back for all


class StackLoss(nn.Module):
    """The sum over n networks of each one's mean squared error, whose gradients are those of n single fits.

    `each` (n,) keeps the networks' own errors of the last batch.
    Shapes: predictions (b, n, c) and targets (b, n, c), or (b, c) for all networks -> ().
    """

    each: Tensor | None = None

    def __init__(
        self,
        padded: bool = False,  # targets that are nan are padding, which doesn't count
    ):
        super().__init__()
        self.padded = padded

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        target = target if target.dim() == 3 else target[:, None]
        if self.padded:
            known = ~target.isnan()
            error = torch.where(known, pred - target, 0)
            each = error.square().sum((0, 2)) / known.sum((0, 2))
        else:
            each = (pred - target).square().mean((0, 2))
        self.each = each.detach()
        return each.sum()


class StackLearner(Learner):
    """A fastai Learner of many networks. The loss that it shows is their sum; `stack_history` has each one's."""

    fit_fast = PixelLearner.fit_fast

    @property
    def networks(self) -> list[nn.Module]:
        """The networks as they are now, each of the kind that was stacked; they are copies."""
        return unstack_models(self.model)

    def single(
        self,
        index: int | str,  # of the network, or the name of its signal
        **kwargs,  # of `siren_learner`
    ) -> PixelLearner:
        """A learner of one network with its own data: to render it, to save a checkpoint, to train it further.

        The optimiser starts anew. Raises: IndexError or KeyError if there is no such network.
        """
        index = self._index(index)
        dls = self.dls.fits[index] if isinstance(self.dls, StackDataLoaders) else self.dls
        return siren_learner(dls, self.model.network(index), **kwargs)

    @property
    def names(self) -> list[str]:
        """The names of the signals, such as those of the images' files."""
        named = isinstance(self.dls, StackDataLoaders)
        return self.dls.names if named else [f"signal_{i}" for i in range(self.model.n_models)]

    def _index(self, index: int | str) -> int:
        if isinstance(index, str):
            if index not in self.names:
                raise KeyError(f"no signal is named {index!r}; names are {self.names}")
            return self.names.index(index)
        if not -self.model.n_models <= index < self.model.n_models:
            raise IndexError(f"there are {self.model.n_models} networks, numbered from 0, got {index}")
        return operator.index(index) % self.model.n_models

    @delegates(PixelLearner.render)
    def render(
        self,
        index: int | str,  # of the network, or the name of its signal
        **kwargs,
    ) -> Tensor:  # (*size, c) float32 on the CPU
        """Sample one of the fitted signals, as `PixelLearner.render` does."""
        return self.single(index).render(**kwargs)

    @delegates(show_results)
    def show_results(
        self,
        ds_idx: int = 1,  # 0: samples of training, 1: of validation
        dl=None,  # a loader of `dls` instead of `ds_idx`
        max_n: int = 9,  # signals, at most
        shuffle: bool = False,  # fastai's, without effect: the first signals are drawn
        **kwargs,
    ) -> Figure:
        """Draw each target above its reconstruction, with its name and PSNR (of sounds, the SNR).

        Raises: ValueError for a `max_n` below 1.
        """
        return show_results(self, self.dls[ds_idx] if dl is None else dl, max_n, **kwargs)

    def predict(self, *args, **kwargs):
        """`PixelLearner.predict` is for one signal. Raises: TypeError."""
        raise TypeError("`predict` is for one signal: use `learn.single(0).predict(...)`")

    def to_html(self, *args, **kwargs):
        """A page shows one image. Raises: TypeError."""
        raise TypeError("a page shows one image: use `learn.single(0).to_html(...)`")

    def save_fields(
        self,
        folder: str | os.PathLike,  # made if it isn't there
        overwrite: bool = False,  # replace files of these names
    ) -> list[Path]:  # of the networks
        """Write each network as `<name>.safetensors`, which `load_checkpoint` opens, and its history as `<name>.csv`.

        Raises: FileExistsError, before anything is written, for a file that is there already, without `overwrite`.
        """
        return save_fields(self, folder, overwrite)

    def add_cb(self, cb):
        """As fastai's. Raises: ValueError for callbacks that would mix the networks, or that draw a single one."""
        kind = cb if isinstance(cb, type) else type(cb)
        if issubclass(kind, MIXING):
            raise ValueError(
                f"`{kind.__name__}` would let the networks of a stack disturb each other: leave it out, or fit them "
                "one by one"
            )
        if issubclass(kind, SnapshotCallback):
            raise ValueError(
                f"`{kind.__name__}` renders one network: leave it out, and `learn.render(0)` draws one of a stack"
            )
        return super().add_cb(cb)


@delegates(Learner.__init__, but=["metrics", "loss_func", "splitter"])
def stack_learner(
    dls: StackDataLoaders | PixelDataLoaders | Sequence[PixelDataLoaders],  # `from_images`, one for all, or a list
    models: Sequence[nn.Module] | Sequence[int] | None = None,  # see below; their weights are copied
    opt_func: Callable = fast_adam,  # or `adam`, `adamw`
    lr: float | Sequence[float] | np.ndarray | Tensor = 5e-4,  # learning rate of all, or one for each
    moms: tuple[float, float, float] = (0.9, 0.8, 0.9),  # momentum at the start, the peak and the end of one cycle
    wd: float = 0.0,  # weight decay
    **kwargs,
) -> StackLearner:
    """A Learner that fits every network as `siren_learner` would fit it alone, up to rounding.

    `models` are networks of one shape, see `stack_models`, one for each signal; or the widths of `fast_model`, such as
    [2, 64, 64, 3], for all; None is its default. `PixelDataLoaders.from_images(folder)` is the data of many images.
    With a list of `dls`, each made after its own `set_seed`, a network sees the batches that it would see alone.
    Schedules, such as those of `fit_fast` and `fit_one_cycle`, set the greatest rate, and the others in proportion.
    A network that diverges leaves the others as they are, but the loss that is shown, a sum, becomes nan.
    `learn.stack_history.to_frame()` has each network's errors, `learn.networks` the networks. A `MetricHistory` of the
    whole stack is added unless `cbs` has one.
    On a graphics card a stack takes little more time than one network. On a processor, single fits in as many processes
    as there are cores are usually quicker (benchmarks/studies.py).
    Raises: ValueError for networks or data that aren't alike, rates that aren't above 0, lists of other lengths,
    or another optimiser.
    """
    data = dls if isinstance(dls, (PixelDataLoaders, StackDataLoaders)) else StackDataLoaders(dls)
    models = _models(data, models)
    stack = stack_models(models)
    rates = _checked_rates(lr, len(models))
    if isinstance(data, StackDataLoaders) and len(data.fits) != len(models):
        raise ValueError(f"`dls` must be one or as many as the {len(models)} networks, got {len(data.fits)}")
    _check_widths(stack, data)
    top = max(rates)
    factors = [rate / top for rate in rates]
    if opt_func not in ELEMENTWISE:
        known = ", ".join(each.__name__ for each in ELEMENTWISE)
        raise ValueError(f"`opt_func` must be one of {known}, which treat each number alone, got {opt_func!r}")
    opt_func = opt_func if len(set(rates)) == 1 else stacked_adam(factors, opt_func)
    cbs = _as_list(kwargs.pop("cbs", None))
    cbs = [StackHistory(), *cbs, *([] if any(isinstance(cb, MetricHistory) for cb in cbs) else [MetricHistory()])]
    loss = StackLoss(isinstance(data, StackDataLoaders) and (data.train.padded or data.valid.padded))
    learn = StackLearner(data, stack, loss, opt_func, lr=top, moms=moms, wd=wd, cbs=cbs, **kwargs)
    learn.rates = factors
    return learn


def _models(dls: PixelDataLoaders | StackDataLoaders, models: Sequence | None) -> list[nn.Module]:
    """The networks as they are given, or `fast_model` for each signal."""
    models = None if models is None else list(models)
    if models and all(isinstance(model, nn.Module) for model in models):
        return models
    if models == []:
        raise ValueError("`models` must list at least one network, got none")
    if not isinstance(dls, StackDataLoaders):
        raise ValueError("`models` must list the networks where all are fitted to one signal")
    return [model_for(each, models) for each in dls.fits]


def _as_list(cbs) -> list:
    return [] if cbs is None else list(cbs) if isinstance(cbs, Sequence) else [cbs]


def _checked_rates(lr: float | Sequence[float] | np.ndarray | Tensor, n: int) -> list[float]:
    if isinstance(lr, (np.ndarray, Tensor)):
        if lr.ndim > 1:
            raise ValueError(f"`lr` must be one rate or a list of them, got an array of shape {tuple(lr.shape)}")
        lr = lr.tolist()
    rates = [float(rate) for rate in lr] if isinstance(lr, Sequence) else [float(lr)] * n
    if len(rates) != n:
        raise ValueError(f"`lr` must be one rate or as many as the {n} networks, got {len(rates)}")
    if not all(0 < rate < float("inf") for rate in rates):
        raise ValueError(f"`lr` must be above 0 and finite, got {lr!r}")
    return rates


def _check_widths(stack: Stack, dls: PixelDataLoaders | StackDataLoaders) -> None:
    data = dls.train_ds
    first, last = (getattr(layer, "linear", layer).weight for layer in (stack[0], stack[-1]))
    found, wanted = (first.shape[2], last.shape[1]), (data.coords.shape[1], data.n_channels)
    if found != wanted:
        raise ValueError(
            f"the networks must go from {wanted[0]} coordinates to {wanted[1]} channels as the data, got {found}"
        )

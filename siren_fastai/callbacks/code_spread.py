"""Keep the codes of an autoencoder near zero and apart from each other while it trains."""

import math
import warnings
from collections.abc import Callable

from fastai.callback.core import Callback
from fastai.callback.training import GradientAccumulation
from fastai.learner import Metric
from torch import Tensor, nn

from siren_fastai.data.share import Share, is_shared, samples_of_batch
from siren_fastai.processes import joined_rows, unwrapped
from siren_fastai.spread import code_spread

__all__ = ["CodeSpread"]

COLUMNS = ("loss_reconstruction", "loss_batch_std", "loss_batch_mean")


class CodeSpread(Callback):
    """Add `weight` times the spread of the codes to the training loss; the validation loss stays as it is.

    The spread is the sum of the two parts of `code_spread`, over a batch with the parts of all processes. During a fit
    the table has their means over the epoch's training batches: loss_reconstruction (the loss without the spread),
    loss_batch_std and loss_batch_mean. A weight of 0 reports them all the same. Codes without a gradient, such as those
    of a frozen encoder, stay as they are: a warning says so.
    Raises: ValueError for a weight below 0, and as a fit begins if the network has no module called `of`.
    Source: note 002.
    """

    order = GradientAccumulation.order - 1  # before the loss is divided among steps or processes

    def __init__(
        self,
        weight: float = 1e-3,  # of the spread in the loss: the note has 0 to 0.1
        of: str | Callable = "encoder",  # the module whose output is the codes, or a function of the learner
    ):
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise ValueError(f"`weight` must be a finite number of 0 or more, got {weight!r}")
        if not (isinstance(of, str) or callable(of)):
            raise TypeError(f"`of` must be the name of a module or a function of the learner, got {of!r}")
        self.weight, self.of, self.batch_codes, self.code_hook = weight, of, None, None
        self.means = [TrainingMean(name) for name in COLUMNS]

    def before_fit(self):
        if isinstance(self.of, str):
            self._module()
        self._restart()
        self.warned = False
        self.learn.metrics = [*self._other_metrics(), *self.means]  # before the Recorder names its columns

    def before_train(self):
        self._restart()

    def before_batch(self):
        self.batch_codes = None
        if self.training and isinstance(self.of, str) and self.code_hook is None:
            self.code_hook = self._module().register_forward_hook(self._keep)

    def after_loss(self):
        if not self.training:
            return
        codes = self._codes()
        self._warn_once(codes)
        parts = code_spread(codes)
        spread, n = self.weight * sum(parts), samples_of_batch(self.learn)
        for mean, value in zip(self.means, (self.learn.to_detach(self.loss, cpu=False), *parts), strict=True):
            mean.add(value.detach(), n)
        self.learn.loss = self.loss + spread.detach()
        self.learn.loss_grad = self.loss_grad + _parts_of_gradient(self.dl) * spread

    def after_fit(self):
        self.learn.metrics = self._other_metrics()

    def _other_metrics(self) -> list[Metric]:
        return [metric for metric in self.metrics if not isinstance(metric, TrainingMean)]

    def _restart(self):
        for mean in self.means:
            mean.total, mean.count = 0.0, 0

    def _module(self) -> nn.Module:
        try:
            return unwrapped(self.model).get_submodule(self.of)
        except AttributeError:
            names = ", ".join(repr(name) for name, _ in unwrapped(self.model).named_children())
            raise ValueError(f"`of`={self.of!r} is no module of the network; those at its top are {names}") from None

    def _keep(self, module, inputs, output):
        """What the hook does: it takes itself off, so that an interrupted fit leaves none for long."""
        self.batch_codes = output
        self.code_hook.remove()
        self.code_hook = None

    def _warn_once(self, codes: Tensor):
        if self.weight and not self.warned and not codes.requires_grad:
            self.warned = True
            warnings.warn(
                f"CodeSpread: the codes of {self.of!r} have no gradient, so that a `weight` of {self.weight:g} doesn't "
                "change them: is the encoder frozen, or one that isn't trained? A weight of 0 only reports",
                stacklevel=2,
            )

    def _codes(self) -> Tensor:
        """The codes of the batch of all processes."""
        codes = self.batch_codes if isinstance(self.of, str) else self.of(self.learn)
        self.batch_codes = None
        if codes is None:
            raise ValueError(f"`of`={self.of!r} gave no codes: the network did not use that module")
        return joined_rows(codes) if is_shared(self.dl) else codes


class TrainingMean(Metric):
    """A column of the table: the mean of what `add` got, over the samples. Validation doesn't change it."""

    def __init__(self, name: str):
        self.column, self.total, self.count = name, 0.0, 0

    def add(self, value: Tensor, n: int):
        self.total, self.count = self.total + value * n, self.count + n

    def reset(self):
        """fastai calls it before validation."""

    def accumulate(self, learn):
        """fastai calls it for each batch."""

    @property
    def value(self) -> float | Tensor:
        return self.total / self.count if self.count else math.nan

    @property
    def name(self) -> str:
        return self.column


def _parts_of_gradient(dl) -> float:
    """A factor for what all processes compute: gradients are averaged by their sizes, and these are to be summed."""
    if not is_shared(dl):
        return 1.0
    return dl.sizes[1] / dl.sizes[0] if getattr(dl, "share", Share()).count > 1 else dl.world_size

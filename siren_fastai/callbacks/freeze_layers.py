"""Hold parameters still during a fit."""

from fastai.callback.core import Callback
from fastai.optimizer import Lookahead

from siren_fastai.freeze import freeze_, unfreeze_

__all__ = ["FreezeLayers"]


class FreezeLayers(Callback):
    """Freeze the parameters that match `patterns` as a fit begins, and free them after it.

    Parameters that were frozen before stay frozen. Frozen tensors are bit-identical after the fit, under weight decay
    and momentum too. `lr_find` freezes as well. Ctrl-C skips fastai's `after_fit`: the parameters then stay frozen
    until `unfreeze_(learn.model)` or, if the callback is the learner's own, until the next fit.
    Raises: ValueError before the fit if a pattern matches nothing, or the patterns leave nothing to train.
    """

    def __init__(
        self,
        patterns: str | int | list[str | int],  # globs over parameter names ('0.*', '*.bias'), or layer numbers
    ):
        self.patterns, self.frozen = patterns, []

    def before_fit(self):
        unfreeze_(self.frozen)  # left frozen by an interrupted fit
        # not in `before_train`: PyTorch's wrapper for several processes notes here which parameters get gradients
        self.frozen, self.started = freeze_(self.model, self.patterns), False
        if not any(p.requires_grad for p in self.model.parameters()):
            unfreeze_(self.frozen)
            raise ValueError(f"`patterns` {self.patterns!r} leave no parameter to train: freeze fewer")

    def before_train(self):
        if not self.started and isinstance(self.opt, Lookahead):
            self.opt.slow_weights = None  # or its next synchronisation would move the frozen weights
        self.started = True

    def after_fit(self):
        unfreeze_(self.frozen)
        self.frozen = []

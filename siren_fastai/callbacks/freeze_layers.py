"""Hold parameters still during a fit."""

from fastai.callback.core import Callback
from fastai.optimizer import Lookahead

from siren_fastai.freeze import freeze_, match_parameters, unfreeze_

__all__ = ["FreezeLayers"]


class FreezeLayers(Callback):
    """Freeze the parameters that match `patterns` before a fit's first training batch, and free them after the fit.

    Parameters that were frozen before stay frozen. Frozen tensors are bit-identical after the fit, under weight decay
    and momentum too. `lr_find` freezes as well. Ctrl-C skips fastai's `after_fit`: the parameters then stay frozen
    until `unfreeze_(learn.model)` or, if the callback is the learner's own, until the next fit.
    Raises: ValueError before the fit if a pattern matches nothing.
    """

    def __init__(
        self,
        patterns: str | int | list[str | int],  # globs over parameter names ('0.*', '*.bias'), or layer numbers
    ):
        self.patterns, self.frozen = patterns, []

    def before_fit(self):
        unfreeze_(self.frozen)  # left frozen by an interrupted fit
        self.frozen, self.acted = [], False
        match_parameters(self.model, self.patterns)

    def before_train(self):
        if self.acted:
            return
        self.frozen, self.acted = freeze_(self.model, self.patterns), True
        if isinstance(self.opt, Lookahead):
            self.opt.slow_weights = None  # or its next synchronisation would move the frozen weights

    def after_fit(self):
        unfreeze_(self.frozen)
        self.frozen = []

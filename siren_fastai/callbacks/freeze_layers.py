"""Hold parameters still during a fit."""

from fastai.callback.core import Callback
from fastai.optimizer import Lookahead

from siren_fastai.freeze import freeze_, match_parameters, unfreeze_

__all__ = ["FreezeLayers"]


class FreezeLayers(Callback):
    """Freeze the parameters that match `patterns` before a fit's first training batch; free them after the fit.

    patterns: globs over parameter names ('0.*', '*.bias') or layer numbers (0, [0, 1]). What was frozen stays so.
    Frozen tensors are bit-identical after the fit, under weight decay and momentum too. `lr_find` freezes as well.
    Ctrl-C skips fastai's `after_fit`: the parameters then stay frozen until `unfreeze_(learn.model)` or, if the
    callback is the learner's own, until the next fit.
    Raises: ValueError before the fit if a pattern matches nothing.
    """

    def __init__(self, patterns: str | int | list[str | int]):
        self.patterns, self.frozen = patterns, []

    def before_fit(self):
        unfreeze_(self.frozen)  # of a fit that was interrupted
        self.frozen, self.frozen_now = [], False
        match_parameters(self.model, self.patterns)

    def before_train(self):
        if self.frozen_now:
            return
        self.frozen, self.frozen_now = freeze_(self.model, self.patterns), True
        if isinstance(self.opt, Lookahead):
            self.opt.slow_weights = None  # or its next synchronisation would move the frozen weights

    def after_fit(self):
        unfreeze_(self.frozen)
        self.frozen = []

"""Initialise a network by a named or numbered scheme."""

from fastai.callback.core import Callback, TrainEvalCallback

from siren_fastai.init import apply_init_, get_scheme

__all__ = ["ApplyInit"]


class ApplyInit(Callback):
    """Draw the weights by `scheme` (a number 1-38, a name, or a `Scheme`), once.

    Given to `Learner(cbs=...)` it acts when the learner is made; added later, before the first training batch that is
    not `lr_find`'s. Then it is done: further fits continue, `validate` and `get_preds` see the trained weights. The
    optimiser forgets what it knew of the old weights. Raises ValueError for an unknown scheme, at once.
    """

    order = TrainEvalCallback.order - 2  # after the callbacks that change the network's shape

    def __init__(self, scheme: int | str = "siren"):
        self.scheme, self.pending = get_scheme(scheme), True

    def after_create(self):
        self._apply()

    def before_train(self):
        if self.pending:
            self._apply()
            self.pending = hasattr(self, "lr_finder")  # lr_find restores the old weights: then act again

    def _apply(self):
        apply_init_(self.model, self.scheme)
        if self.opt is not None:
            self.opt.clear_state()
        self.pending = False

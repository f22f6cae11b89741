"""Initialise a network by a named or numbered scheme, or from a learned start."""

from pathlib import Path

from fastai.callback.core import Callback, TrainEvalCallback

from siren_fastai.data import PixelDataset
from siren_fastai.init import apply_init_, init_for_signal_, scheme_or_start
from siren_fastai.schemes import Scheme
from siren_fastai.starts.start import Start

__all__ = ["ApplyInit"]


class ApplyInit(Callback):
    """Draw the weights by an initialisation scheme, once.

    Given to `Learner(cbs=...)` it acts when the learner is created; added later, before the first training batch that
    isn't `lr_find`'s. After that, further fits continue, and `validate` and `get_preds` use the trained weights. The
    optimiser's state, such as momentum, belongs to the old weights and is cleared. The scheme "fast" follows the
    signal, as in `fast_model`. The file of a learned start is a scheme too, see `learn_start`.
    Raises: ValueError for an unknown scheme or a file that holds no start, at once.
    """

    order = TrainEvalCallback.order - 2  # after the callbacks that change the network's shape

    def __init__(
        self,
        scheme: int | str | Path | Scheme | Start = "siren",  # a number 1-38 or name of `SCHEMES`, "faces.safetensors"
    ):
        self.scheme, self.pending = scheme_or_start(scheme), True

    def after_create(self):
        self._apply()

    def before_train(self):
        if self.pending:
            self._apply()
            self.pending = hasattr(self, "lr_finder")  # lr_find restores the old weights, so act again

    def _apply(self):
        data = self.dls.train_ds
        if isinstance(data, PixelDataset):
            init_for_signal_(self.model, self.scheme, data.values, data.axis_samples)
        else:
            apply_init_(self.model, self.scheme)
        if self.opt is not None:
            self.opt.clear_state()
        self.pending = False

"""Scale the hidden widths of a network."""

from fastai.callback.core import Callback, TrainEvalCallback

from siren_fastai.models.widths import scale_widths_

__all__ = ["ScaleWidths"]


class ScaleWidths(Callback):
    """Multiply the hidden widths of the network by `mult`, keeping their proportions, inputs and outputs.

    Acts once, when `Learner(cbs=...)` is made; the scaled layers are drawn anew, as `scale_widths_` describes.
    Raises: ValueError for mult <= 0, for a network that is not a chain of linear layers, or if added after creation.
    """

    order = TrainEvalCallback.order - 4  # before features are added and weights drawn

    def __init__(self, mult: float = 2.0):
        if not mult > 0:
            raise ValueError(f"`mult` must be above 0, got {mult!r}")
        self.mult, self.done = mult, False

    def after_create(self):
        scale_widths_(self.model, self.mult)
        self.done = True

    def before_fit(self):
        if not self.done:
            raise ValueError("`ScaleWidths` changes the network: give it to Learner(cbs=...), not to fit or add_cb")

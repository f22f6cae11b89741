"""Scale the hidden widths of a network."""

from fastai.callback.core import Callback, TrainEvalCallback
from torch import nn

from siren_fastai.models.widths import scale_widths_

__all__ = ["ScaleWidths"]


class ScaleWidths(Callback):
    """Multiply the hidden widths of the network, keeping their proportions, its inputs and its outputs.

    Acts once, when `Learner(cbs=...)` is created; the layers are redrawn at their old scale (see `scale_widths_`). A
    network that was scaled by the same `mult` for another learner stays as it is.
    Raises: ValueError for mult <= 0, for a network that isn't a chain of linear layers or was scaled by another
        number, or if added after creation.
    """

    order = TrainEvalCallback.order - 4  # before features are added and weights drawn

    def __init__(
        self,
        mult: float = 2.0,  # times as many units per hidden layer, rounded, at least 1
    ):
        if not mult > 0:
            raise ValueError(f"`mult` must be above 0, got {mult!r}")
        self.mult, self.done = mult, False

    def after_create(self):
        first = next((m for m in self.model.modules() if isinstance(m, nn.Linear)), self.model)
        before = getattr(first, "widths_scaled_by", None)  # kept by the layer, which outlives wrapping and pickling
        if before is None:
            scale_widths_(self.model, self.mult)
            first.widths_scaled_by = self.mult
        elif before != self.mult:
            raise ValueError(
                f"`ScaleWidths({self.mult})` got a network that another learner has scaled by {before}: give a new "
                f"network, or scale this one by hand with `scale_widths_`"
            )
        self.done = True

    def before_fit(self):
        if not self.done:
            raise ValueError("`ScaleWidths` changes the network: give it to Learner(cbs=...), not to fit or add_cb")

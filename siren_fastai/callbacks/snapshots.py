"""What the callbacks that render during a fit share: which data they accept, when they act, and the rendered image."""

from collections.abc import Sequence

from fastai.callback.core import Callback
from fastai.torch_core import rank_distrib
from torch import Tensor, nn

from siren_fastai.coords import region_size
from siren_fastai.data import PixelDataset
from siren_fastai.processes import unwrapped
from siren_fastai.render import render

__all__ = ["SnapshotCallback", "snapshot"]


def snapshot(
    model: nn.Module,  # the network, as it is now
    data: PixelDataset,  # of a grey or RGB image on a grid
    size: int | Sequence[int] | None = None,  # as for `render`; None is the data's
) -> Tensor:  # (height, width, c) float32 in [0, 1] on the CPU
    """Render the image of `model`; black and white are the ends of the data's `display_range`."""
    return data.to_unit(render(unwrapped(model), size, grid=data.grid, clamp=data.display_range, shape=data.shape))


class SnapshotCallback(Callback):
    """Take a snapshot after the first epoch of a fit, then every `every` epochs, and after the last.

    The last epoch is also that of a fit that another callback ended early. A subclass says in `take` what a snapshot
    is. `lr_find` takes none, and of several processes the first takes them alone.
    Raises: ValueError for a bad `every` or `size` at once, and before the first batch for data that aren't a grey or
        RGB image on a grid.
    """

    def __init__(self, every: int, size: int | Sequence[int] | None):
        if every < 1:
            raise ValueError(f"`every` must be 1 epoch or more, got {every!r}")
        region_size((1, 1), size=size)  # or ValueError
        self.every, self.size = every, size

    def before_fit(self):
        self.fitting, self.taken = False, True  # nothing is missing before the first epoch has ended

    def before_train(self):
        self.fitting = not (hasattr(self, "lr_finder") or rank_distrib())
        data = self.dls.train_ds
        image = len(getattr(data, "shape", ())) == 2 and data.grid and data.n_channels in (1, 3)
        if not image:
            raise ValueError(
                f"`{type(self).__name__}` needs a grey or RGB image on a grid: use PixelDataLoaders.from_image"
            )

    @property
    def due(self) -> bool:
        """Whether the epoch that has just ended is one of those to render."""
        return self.fitting and (self.epoch % self.every == 0 or self.epoch == self.n_epoch - 1)

    def after_epoch(self):
        self.taken = self.due
        if self.taken:
            self.take()

    def after_fit(self):
        if self.fitting and not self.taken:
            self.take()

    def take(self):
        """Take a snapshot of the network as it is."""
        raise NotImplementedError

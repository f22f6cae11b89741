"""Train an autoencoder on some pixels of each image, which costs so much less."""

import torch
from fastai.callback.core import Callback
from torch import Tensor

from siren_fastai.data.indexed import checked_count
from siren_fastai.data.share import Share, batch_size
from siren_fastai.processes import unwrapped

__all__ = ["SamplePositions"]


class SamplePositions(Callback):
    """In training, decode `count` random pixels of each image instead of all of them, and compare those.

    They are drawn anew for each image and batch, on its device, none twice. Predictions and targets are then
    (n, count, c) where the loss sees them. Validation and predictions are whole images, as without the callback.
    The network is an `Autoencoder`, whose decoder has `at`: the decoders of positions have it.
    Raises: ValueError as a fit begins for another network; as its first batch comes for images of fewer pixels.
    """

    def __init__(
        self,
        count: int,  # pixels of each image
    ):
        self.pixel_count = checked_count("count", count)

    def before_fit(self):
        decoder = getattr(unwrapped(self.model), "decoder", None)
        if not (hasattr(decoder, "at") and hasattr(decoder, "grid_positions")):
            name = type(unwrapped(self.model) if decoder is None else decoder).__name__
            raise ValueError(
                f"training on some pixels needs a decoder of positions, with `at`, and `{name}` is none: leave "
                "`positions` out, or use a decoder such as ImageManifoldDecoder"
            )

    def before_batch(self):
        if not self.training:
            return
        (images,), target = self.xb, self.yb[0]
        size = target.shape[2:]
        positions = unwrapped(self.model).decoder.grid_positions(size).to(images)
        index = self._draw(len(positions), images.device)
        self.learn.xb = (images, positions[index])
        self.learn.yb = (pixels_at(target, index),)

    def _draw(self, n: int, device: torch.device) -> Tensor:
        """Pixels (images, count) of all `n`, as one process would draw them for the images of all."""
        if self.pixel_count > n:
            raise ValueError(f"images of {n} pixels have fewer than the {self.pixel_count} to train on")
        share = getattr(self.dl, "share", Share())
        count = self.dl.sizes[1] if share.count > 1 else batch_size(self.xb[0])
        generator = self.dl.device_generator() if hasattr(self.dl, "device_generator") else None
        device = device if generator is None else generator.device
        index = torch.rand(count, n, generator=generator, device=device).topk(self.pixel_count, sorted=False).indices
        return share.of(index).to(self.xb[0].device)


def pixels_at(
    images: Tensor,  # (n, c, h, w)
    index: Tensor,  # (n, p) of pixels in raster order
) -> Tensor:  # (n, p, c)
    """Return some pixels of each image."""
    return images.flatten(2).transpose(1, 2).gather(1, index[..., None].expand(-1, -1, images.shape[1]))

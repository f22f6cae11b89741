"""The encoder of `FieldsDecoder`: it tries all fields on an image, and writes down the best one's values."""

from collections.abc import Sequence

from torch import Tensor, nn

from siren_fastai.autoencoder.experts import EXPERTS, Experts
from siren_fastai.autoencoder.shapes import check_images

__all__ = ["FieldsEncoder"]


class FieldsEncoder(nn.Module):
    """The code that draws an image best among several linear ones, and which of them it is.

    It has fields of its own, so that both sides train freely. With the defaults it has 275 072 parameters.
    Shapes: (n, channels, height, width) -> (n, code_size).
    Raises: as `Experts`.
    """

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),  # (channels, height, width) of the images
        code_size: int = 102,  # values per code
        experts: Sequence[tuple[int, int]] = EXPERTS,  # (pixels per side of a cell, fields on that grid)
    ):
        super().__init__()
        self.experts = Experts(shape, code_size, experts)
        self.shape, self.code_size = self.experts.shape, code_size

    def forward(self, images: Tensor) -> Tensor:
        return self.experts.encode(check_images(images, self.shape))

"""The encoder of `FieldsDecoder`: it tries all fields on an image, and writes down the best one's values."""

from collections.abc import Sequence

from torch import Tensor, nn

from siren_fastai.autoencoder.experts import EXPERTS, Experts
from siren_fastai.autoencoder.shapes import check_count, check_images

__all__ = ["FieldsEncoder"]


STEPS = 15  # on tiles: L1 .0356 after 10, .0351 after 15, .0348 after 20, .0344 after 100; .0411 after none


class FieldsEncoder(nn.Module):
    """The code that draws an image with the lowest L1, by the best of several sets of fields.

    It has fields of its own, 275 072 parameters with the defaults; `fields_autoencoder` has it share the decoder's.
    With `steps`, its codes have no gradient, so that nothing before or in the encoder learns from them: the fields
    learn as the decoder's. The gradients of a projection that isn't used made them worse.
    Shapes: (n, channels, height, width) -> (n, code_size).
    Raises: as `Experts`.
    """

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),  # (channels, height, width) of the images
        code_size: int = 102,  # values per code
        experts: Sequence[tuple[int, int]] = EXPERTS,  # (pixels per side of a cell, fields on that grid)
        steps: int = 0,  # towards the lowest L1; 0 is the lowest squared error, a projection that trains
    ):
        super().__init__()
        self.experts = Experts(shape, code_size, experts)
        self.shape, self.code_size = self.experts.shape, code_size
        self.steps = check_count("steps", steps) if steps else 0

    def forward(self, images: Tensor) -> Tensor:
        return self.experts.encode(check_images(images, self.shape), self.steps)

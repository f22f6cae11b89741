"""Linear fields of the position on several grids; the code has their weights, and says which of them draw."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from siren_fastai.autoencoder.decoders.decoder import Decoder
from siren_fastai.autoencoder.experts import EXPERTS, Experts

__all__ = ["FieldsDecoder"]


class FieldsDecoder(Decoder):
    """Fields of luma, times the code, and chroma as a multiple of that luma plus fields of its own.

    A position reads the finest grid bilinearly, and coarser ones at their nearest cell, as pixel art is enlarged. With
    the defaults and a code of 102 it has 275 072 parameters. Colours are clamped to [0, 1], with the gradient that they
    would have without. Use `fields_autoencoder`, which starts it from images: random fields train slowly.
    Shapes: (n, code) -> (n, channels, height, width).
    Raises: as `Experts`.
    """

    def __init__(
        self,
        code_size: int = 102,  # values per code
        num_output_channels: int = 3,  # 1 for gray, 3 for RGB
        default_shape: Sequence[int] = (32, 32),  # (height, width)
        experts: Sequence[tuple[int, int]] = EXPERTS,  # (pixels per side of a cell, fields on that grid)
    ):
        super().__init__(code_size, num_output_channels, default_shape)
        self.experts = Experts((num_output_channels, *self.default_shape), code_size, experts)

    def colors(self, code: Tensor, positions: Tensor) -> Tensor:
        grids, finest = self.experts.decode(code), min(self.experts.cells)
        colors = sum(_read(grid, positions, smooth=cell == finest) for cell, grid in grids.items())
        return colors + (colors.clamp(0, 1) - colors).detach()


def _read(images: Tensor, positions: Tensor, smooth: bool) -> Tensor:
    """(n, p, c): images (n, c, h, w) at positions (p, 2) or (n, p, 2)."""
    xy = positions.flip(-1).expand(len(images), -1, 2)[:, :, None]
    mode = "bilinear" if smooth else "nearest"
    found = F.grid_sample(images, xy, mode, padding_mode="border", align_corners=False)
    return torch.squeeze(found, 3).transpose(1, 2)

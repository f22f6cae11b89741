"""What all decoders share: colours at positions, and whole images of any size made from them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.shapes import check_code, check_count, check_positions, check_size
from siren_fastai.coords import grid_coords

__all__ = ["Decoder"]

ROWS = 1 << 14  # pairs of code and position at a time where no gradient is needed: 16 MiB per layer of 256


class Decoder(nn.Module):
    """A function of a code and a position: the base class of decoders, which have to define `colors`.

    Positions are (y, x) in [-1, 1], as everywhere in this library. `grid_positions` are those of the pixels in raster
    order, so that training on some pixels is `decoder.at(code, decoder.grid_positions()[indices])`.
    """

    pixel_grid = "centers"  # where the pixels lie: one of `coords.GRIDS`

    def __init__(
        self,
        code_size: int,  # values per code
        num_output_channels: int = 3,  # 1 for gray, 3 for RGB
        default_shape: Sequence[int] = (32, 32),  # (height, width) of images when no other is asked for
    ):
        super().__init__()
        self.code_size = check_count("code_size", code_size)
        self.num_output_channels = check_count("num_output_channels", num_output_channels)
        self.default_shape = check_size(default_shape)

    def colors(
        self,
        code: Tensor,  # (n, code_size)
        positions: Tensor,  # (p, 2), for all codes, or (n, p, 2)
    ) -> Tensor:  # (n, p, c)
        """Return each code's colours at its positions."""
        raise NotImplementedError

    def at(
        self,
        code: Tensor,  # (n, code_size) or (code_size,)
        positions: Tensor,  # (p, 2), for all codes, or (n, p, 2): (y, x) in [-1, 1]
    ) -> Tensor:  # (n, p, c)
        """Return each code's colours at its positions, in one pass.

        Raises: TypeError or ValueError for a code of another size and for positions of another shape.
        """
        code = check_code(code, self.code_size)
        return self.colors(code, check_positions(positions, len(code)).to(code))

    def grid_positions(
        self,
        shape: Sequence[int] | None = None,  # (height, width); None is `default_shape`
    ) -> Tensor:  # (height * width, 2)
        """Return the positions of an image's pixels, in raster order."""
        return grid_coords(check_size(self.default_shape if shape is None else shape), self.pixel_grid)

    def forward(
        self,
        code: Tensor,  # (n, code_size) or (code_size,)
        shape: Sequence[int] | None = None,  # (height, width) of the images; None is `default_shape`
    ) -> Tensor:  # (n, c, height, width)
        """Return the images of the codes, of any size. A single code gives a batch of one.

        The whole batch goes through at once; without gradients in eval mode it goes in pieces of bounded memory.
        Raises: TypeError or ValueError for a code of another size or an impossible shape.
        """
        code = check_code(code, self.code_size)
        height, width = check_size(self.default_shape if shape is None else shape)
        positions = self.grid_positions((height, width)).to(code)
        whole = self.training or torch.is_grad_enabled()
        colors = self.colors(code, positions) if whole else self._in_pieces(code, positions)
        return colors.transpose(1, 2).contiguous().view(len(code), self.num_output_channels, height, width)

    def _in_pieces(self, code: Tensor, positions: Tensor) -> Tensor:
        codes = code.split(max(1, ROWS // len(positions)))
        return torch.cat([torch.cat([self.colors(c, p) for p in positions.split(ROWS)], dim=1) for c in codes])

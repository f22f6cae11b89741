"""Local codes: the code becomes a small grid of features, and a position reads those around it.

Source: Chen et al. 2021 (LIIF), arXiv:2012.09161, sec. 3. There an encoder makes the grid, and the predictions of four
neighbours are blended; here a linear map of the code makes it, and the features are blended, which costs a quarter.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siren_fastai.autoencoder.activations import activation_layer
from siren_fastai.autoencoder.decoders.blocks import residual_blocks
from siren_fastai.autoencoder.decoders.decoder import Decoder
from siren_fastai.autoencoder.positions import bilinear_weights, count_position_features, position_features
from siren_fastai.autoencoder.shapes import check_count, check_size

__all__ = ["LocalCodesDecoder"]


class LocalCodesDecoder(Decoder):
    """Features of a grid, bilinearly between its cells, and the position relative to the cells -> colour.

    The relative position is given as waves that repeat from cell to cell, up to the Nyquist frequency of
    `default_shape`, so that nothing jumps at a cell's border. The network after it is the note's. With a code of 102
    and the other defaults it has 281 683 parameters.
    Shapes: (n, code) -> (n, channels, height, width).
    """

    def __init__(
        self,
        code_size: int,  # values per code
        num_output_channels: int = 3,  # 1 for gray, 3 for RGB
        cells: Sequence[int] = (5, 5),  # rows and columns of the grid
        num_features: int = 16,  # in each cell
        num_hidden: int = 240,  # features of the network after it
        num_blocks: int = 2,
        num_layers_per_block: int = 2,
        batch_norm: bool | str = True,  # True, False or "per_image"
        default_shape: Sequence[int] = (32, 32),  # (height, width)
        activation: str = "gelu",
        activation_out: str | None = "sigmoid",  # None leaves the colours unbounded
    ):
        super().__init__(code_size, num_output_channels, default_shape)
        self.cells, self.num_features = check_size(cells), check_count("num_features", num_features)
        self.frequencies = self._harmonics()
        n_position = count_position_features(self.frequencies)
        self.features = nn.Linear(code_size, self.cells[0] * self.cells[1] * num_features)
        self.input = nn.Linear(num_features + n_position, check_count("num_hidden", num_hidden))
        self.activation = activation_layer(activation)
        self.blocks, width = residual_blocks(
            num_hidden, num_blocks, num_layers_per_block, False, batch_norm, activation
        )
        self.output = nn.Sequential(nn.Linear(width, num_output_channels), activation_layer(activation_out))

    def _harmonics(self) -> tuple[float, ...]:
        """Radians per cell: one cycle, its octaves, and the last full cycle that pixels can show."""
        pixels = max(n / cells for n, cells in zip(self.default_shape, self.cells, strict=True))
        highest = max(1, math.floor(pixels / 2))
        octaves = [2**i for i in range(highest.bit_length())]
        return tuple(2 * math.pi * k for k in dict.fromkeys([*octaves, highest]))

    def colors(self, code: Tensor, positions: Tensor) -> Tensor:
        of_cells, of_position = self.input.weight.tensor_split([self.num_features], dim=1)
        grid = self.features(code).unflatten(1, (-1, self.num_features))
        local = torch.matmul(bilinear_weights(positions, self.cells), F.linear(grid, of_cells, self.input.bias))
        in_cells = positions * (positions.new_tensor(self.cells) / 2)
        relative = position_features(in_cells, self.frequencies)
        x = local + F.linear(relative, of_position)
        return self.output(self.blocks(self.activation(x)))

"""Residual blocks of fully connected layers, applied at every position of every image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.activations import activation_layer
from siren_fastai.autoencoder.shapes import check_count

__all__ = ["ResidualBlock", "residual_blocks"]

NORMS = (True, False, "per_image")
CPU_ROWS = 1 << 14  # positions at a time on a CPU: a fifth faster, since glibc hands back allocations above 32 MiB


class ResidualBlock(nn.Module):
    """`x + f(x)`, or x and f(x) concatenated; f is a batch normalisation, then layers of one width.

    It normalises over all positions of all images, or in training over those of each image apart. Each image apart is
    what the note's decoder did: it then learns with statistics that it doesn't have in eval mode.
    Shapes: (n, p, width) -> (n, p, width), or (n, p, 2 width) where it concatenates.
    """

    def __init__(
        self,
        width: int,  # features
        num_layers: int = 2,  # fully connected layers, each with its activation
        concat: bool = False,  # whether to concatenate instead of adding
        batch_norm: bool | str = True,  # True, False, or "per_image"
        activation: str = "gelu",  # a key of `ACTIVATIONS`
    ):
        super().__init__()
        layers = [m for _ in range(num_layers) for m in (nn.Linear(width, width), activation_layer(activation))]
        self.norm = nn.BatchNorm1d(width) if batch_norm else nn.Identity()
        self.per_image = batch_norm == "per_image"
        self.layers, self.concat = nn.Sequential(*layers), concat

    def forward(self, x: Tensor) -> Tensor:
        y = self._normalized(x)
        n = max(1, CPU_ROWS // x.shape[1]) if x.device.type == "cpu" else len(x)
        if n >= len(x):
            return self._merge(x, y)
        return torch.cat([self._merge(*pair) for pair in zip(x.split(n), y.split(n), strict=True)])

    def _normalized(self, x: Tensor) -> Tensor:
        if self.per_image and self.training:
            return torch.stack([self.norm(image) for image in x])
        return self.norm(x.flatten(0, 1)).view_as(x)

    def _merge(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, self.layers(y)], dim=-1) if self.concat else x + self.layers(y)


def residual_blocks(
    width: int,  # features of the first block
    num_blocks: int = 2,
    num_layers_per_block: int = 2,
    concat_residual: bool | Sequence[bool] = False,  # for all blocks or for each: a block that concatenates doubles it
    batch_norm: bool | str = True,  # True, False, or "per_image"
    activation: str = "gelu",  # a key of `ACTIVATIONS`
) -> tuple[nn.Sequential, int]:
    """Return the blocks, and the features that come out of the last one.

    Raises: ValueError for counts below 1, another `batch_norm`, or a `concat_residual` that isn't one bool per block.
    """
    check_count("num_blocks", num_blocks)
    check_count("num_layers_per_block", num_layers_per_block)
    if batch_norm not in NORMS:
        raise ValueError(f"`batch_norm` must be True, False or 'per_image', got {batch_norm!r}")
    concats = [concat_residual] * num_blocks if isinstance(concat_residual, bool) else list(concat_residual)
    if len(concats) != num_blocks or not all(isinstance(concat, bool) for concat in concats):
        raise ValueError(f"`concat_residual` must be a bool, or one for each of {num_blocks} blocks, got {concats!r}")
    blocks = []
    for concat in concats:
        blocks.append(ResidualBlock(width, num_layers_per_block, concat, batch_norm, activation))
        width *= 2 if concat else 1
    return nn.Sequential(*blocks), width

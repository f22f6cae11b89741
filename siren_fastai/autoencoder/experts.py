"""Several colour fields on grids of several sizes, of which each image uses the one that draws it best.

Tiles of old games are drawn with 8, 16 or 32 pixels per side and enlarged: fields on the right grid need far fewer
values. Of two or more on the same grid each serves a part of the images: a mixture of subspaces.
Source: Kambhatla and Leen 1997, Neural Computation 9, sec. 3 (local PCA by reconstruction distance).
"""

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siren_fastai.autoencoder.color_fields import ColorFields, count_chroma
from siren_fastai.autoencoder.refine import draw_enlarged, refined
from siren_fastai.autoencoder.shapes import check_count, check_image_shape

__all__ = ["EXPERTS", "Experts"]

EXPERTS = ((4, 2), (2, 5), (1, 1))  # pixels per side of a cell, and fields on that grid: 275 000 parameters at 32x32
SHARPNESS = 30.0  # how soon the nearest choice has all the weight; choices are 1 or more apart


class Experts(nn.Module):
    """Fields on several grids, and the part of the code that names one of them.

    A code is the chosen fields' values, shifted and scaled to a mean near 0 and a standard deviation near 0.5, then the
    choice: as many values of +-0.5 as it takes.
    Shapes: images (n, channels, height, width), codes (n, code_size).
    Raises: ValueError for a shape that the cells don't divide, for other than 1 or 3 channels, for too short a code.
    """

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),  # (channels, height, width)
        code_size: int = 102,  # values per code
        experts: Sequence[tuple[int, int]] = EXPERTS,  # (pixels per side of a cell, fields on that grid), finest last
    ):
        super().__init__()
        self.shape, self.code_size = check_image_shape(shape), check_count("code_size", code_size)
        self.cells = _checked_cells(experts, self.shape)
        n_bits = math.ceil(math.log2(len(self.cells)))
        self.n_values = code_size - n_bits
        if self.n_values - sum(count_chroma(self.n_values, shape[0])) < 1:
            raise ValueError(f"`code_size` must be {n_bits + 3} or more for these experts, got {code_size}")
        grids = [(shape[1] // cell, shape[2] // cell) for cell in self.cells]
        self.fields = nn.ModuleList(ColorFields(self.n_values, shape[0], grid) for grid in grids)
        choices = torch.tensor(list(product((-0.5, 0.5), repeat=n_bits)))[: len(self.cells)]
        self.register_buffer("choices", choices.view(len(self.cells), n_bits))
        self.register_buffer("shift", torch.zeros(self.n_values))
        self.register_buffer("scale", torch.ones(self.n_values))

    def encode(
        self,
        images: Tensor,  # (n, channels, height, width) float in [0, 1]
        steps: int = 0,  # towards the lowest L1 of what the best expert draws; 0 is the lowest squared error
    ) -> Tensor:  # (n, code_size)
        """Return the codes of images: each expert's values are drawn, and those with the lowest L1 are kept.

        With `steps` the codes have no gradient: at its lowest L1, a code's own change adds nothing to the fields'.
        """
        values = torch.stack([self.analyse(images, i) for i in range(len(self.fields))], 1)
        with torch.no_grad():
            best = torch.stack([self.error(images, i, values[:, i]) for i in range(len(self.fields))], 1).argmin(1)
        chosen = values[torch.arange(len(images), device=images.device), best]
        if steps:
            chosen = self._refined(images, chosen.detach(), best, steps)
        return torch.cat([(chosen - self.shift) / self.scale, self.choices[best]], 1)

    def _refined(self, images: Tensor, values: Tensor, best: Tensor, steps: int) -> Tensor:
        """(n, n_values): better values for the experts `best` (n,)."""
        found = values.clone()
        for i in best.unique().tolist():
            rows = best == i
            found[rows] = refined(self.fields[i], self.cells[i], images[rows], values[rows], steps)
        return found

    def analyse(self, images: Tensor, expert: int) -> Tensor:
        """(n, n_values): the values of images by one expert."""
        return self.fields[expert].analyse(self.on_cells(images, expert))

    def on_cells(self, images: Tensor, expert: int) -> Tensor:
        """(n, channels, rows, columns): the images on an expert's grid."""
        return images if self.cells[expert] == 1 else F.avg_pool2d(images, self.cells[expert])

    def error(self, images: Tensor, expert: int, values: Tensor) -> Tensor:
        """(n,): L1 between images and what an expert draws of its values."""
        drawn = draw_enlarged(self.fields[expert], self.cells[expert], values)
        return (drawn.clamp(0, 1) - images).abs().mean((1, 2, 3))

    def decode(
        self,
        code: Tensor,  # (n, code_size)
    ) -> dict[int, Tensor]:  # pixels per cell: (n, channels, rows, columns), which add up to the image
        """Return what the experts draw, each times its weight in the code's choice, summed on each grid."""
        values, choice = code.tensor_split([self.n_values], dim=1)
        values = values * self.scale + self.shift
        distance = (choice[:, None] - self.choices).square().sum(2)
        weights = (-SHARPNESS * distance).softmax(1)[:, :, None, None, None]
        grids = {}
        for i, (fields, cell) in enumerate(zip(self.fields, self.cells, strict=True)):
            drawn = weights[:, i] * fields.synthesise(values)
            grids[cell] = grids[cell] + drawn if cell in grids else drawn
        return grids


def _checked_cells(experts: Sequence[tuple[int, int]], shape: tuple[int, int, int]) -> list[int]:
    """The cell size of each expert."""
    if shape[0] not in (1, 3):
        raise ValueError(f"colour fields draw images of 1 or 3 channels, got {shape[0]}")
    pairs = [(check_count("experts", cell), check_count("experts", count)) for cell, count in experts]
    if not pairs:
        raise ValueError("`experts` must have one pair or more: (pixels per side of a cell, fields on that grid)")
    for cell, _ in pairs:
        if shape[1] % cell or shape[2] % cell:
            raise ValueError(f"cells of {cell} pixels don't divide {shape[1]} x {shape[2]}: choose other `experts`")
    return [cell for cell, count in pairs for _ in range(count)]

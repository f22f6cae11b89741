"""The samples of one signal on one device, indexed whole."""

import copy
import math

import torch
from torch import Tensor, nn

from siren_fastai.audio.figures import show_sounds
from siren_fastai.audio.files import checked_rate
from siren_fastai.coords import grid_coords, line_coords
from siren_fastai.error_maps import absolute_error
from siren_fastai.figures import show_pictures

__all__ = ["PixelDataset", "Positions"]


class PixelDataset:
    """The samples of one signal: `coords` (n, d) and `values` (n, c), float32, on one device.

    Indexed with a slice or an index tensor it returns the batch `(coords, values)`. `shape` is the whole signal's,
    without channels; `pixels` holds the raster index of each sample, or is None for a whole signal in raster order.
    `hidden` holds the raster indices of those that no part of the signal knows, or is None without a mask.
    Where `value_range` is None, nothing is known of the values: predictions aren't clamped, and plots go from the least
    value to the greatest.
    Raises: ValueError for tensors that don't belong together, or a bad `value_range`.
    """

    n_inp = 1  # fastai: how many items of a batch are inputs

    def __init__(
        self,
        coords: Tensor,  # (n, d) float32
        values: Tensor,  # (n, c) float32
        shape: tuple[int, ...],  # of the whole signal, without channels
        grid: str | None = None,  # "centers", "corners" or "left" if the coordinates are that regular grid
        pixels: Tensor | None = None,  # (n,) raster indices of the samples; None is all, in raster order
        value_range: tuple[float, float] | None = None,  # (low, high) that the values are expressed in, if known
        line: str | None = None,  # the order, if the coordinates are those of `line_coords`
        rate: float | None = None,  # samples or frames per second along the first axis, if that is time
        time_scale: float = 1.0,  # frequencies along the first axis that networks start with, relative to the default
    ):
        if coords.dim() != 2 or values.dim() != 2 or len(coords) != len(values):
            raise ValueError(
                "`coords` and `values` must be (n, d) and (n, c) with the same n, "
                f"got {tuple(coords.shape)} and {tuple(values.shape)}"
            )
        self.coords, self.values, self.shape, self.pixels = coords, values, tuple(shape), pixels
        self.grid, self.line, self.all_coords, self.hidden = grid, line, None, None
        self.rate, self.time_scale = None if rate is None else checked_rate(rate), _checked_scale(time_scale)
        self.value_range = None if value_range is None else checked_range(value_range)
        self.display_range = _extremes(values) if self.value_range is None else self.value_range
        self.loss_func = nn.MSELoss()  # fastai's MSELossFlat makes tensors of a subclass, which slows what follows

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index) -> tuple[Tensor, Tensor]:
        return self.coords[index], self.values[index]

    def __repr__(self) -> str:
        where = f"grid={self.grid!r}" if self.grid else f"line={self.line!r}" if self.line else "own coordinates"
        where += "" if self.rate is None else f", rate={self.rate:g}"
        shape = "x".join(map(str, self.shape))
        return (
            f"{type(self).__name__}({len(self)} samples of {shape}, {self.n_channels} channels, {where}, "
            f"value_range={self.value_range}, {self.device})"
        )

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def items(self):
        """fastai's list of samples, which `Interpretation` draws from and a signal doesn't have."""
        raise AttributeError(
            "a signal has no `items` to draw one by one, so fastai's `Interpretation` can't draw its top losses: "
            "`learn.show_results()` draws the error of all samples, and `top_losses` gives the samples' indices"
        )

    @property
    def is_sound(self) -> bool:
        """Whether this is a signal over time alone, in samples per second."""
        return self.rate is not None and len(self.shape) == 1

    @property
    def n_channels(self) -> int:
        return self.values.shape[1]

    @property
    def axis_samples(self) -> tuple[float, ...]:
        """The samples of the whole signal along each coordinate; their geometric mean if positions have other axes.

        Those of the first axis count `time_scale` times.
        """
        d = self.coords.shape[1]
        if len(self.shape) == d:
            return self.shape if self.time_scale == 1 else (self.shape[0] * self.time_scale, *self.shape[1:])
        axes = d if d == 1 or len(self.shape) == 1 else len(self.shape)
        return (math.prod(self.shape) ** (1 / axes),) * d

    def subset(self, index: Tensor) -> "PixelDataset":
        """The samples at `index`, which are positions in this dataset. Ranges stay those of the whole."""
        part = copy.copy(self)
        part.coords, part.values = self[index]
        part.pixels = index if self.pixels is None else self.pixels[index]
        part.all_coords = self.coords if self.pixels is None and not (self.grid or self.line) else self.all_coords
        return part

    def new_empty(self) -> "PixelDataset":
        """The same dataset without samples: what `learn.export` keeps."""
        empty = self.subset(torch.zeros(0, dtype=torch.long, device=self.device))
        empty.all_coords = None
        return empty

    def to_(self, device) -> "PixelDataset":
        """Move the samples to `device`, in place."""
        self.coords, self.values = self.coords.to(device), self.values.to(device)
        self.pixels = self.pixels if self.pixels is None else self.pixels.to(device)
        return self

    def all_positions(self) -> Tensor:
        """The coordinates (prod(shape), d) of the whole signal in raster order, also of a part or after an export.

        Raises: ValueError after `load_learner` if the coordinates were given as a tensor or a function.
        """
        if self.pixels is None:
            return self.coords
        if self.grid is not None:
            return grid_coords(self.shape, self.grid)
        if self.line is not None:
            return line_coords(self.shape, self.line)
        if self.all_coords is None:
            raise ValueError(
                "an exported learner keeps no coordinates that were given as `coords`: call `learn.model(coords)`"
            )
        return self.all_coords

    def to_picture(self, values: Tensor) -> Tensor:
        """Samples (n, c) in this dataset's order as a signal (*shape, c); nan where there is no sample."""
        if self.pixels is None:
            return values.reshape(*self.shape, -1)
        picture = values.new_full((math.prod(self.shape), values.shape[1]), math.nan)
        picture[self.pixels] = values
        return picture.view(*self.shape, -1)

    def clamp(self, values: Tensor) -> Tensor:
        """`values` clamped to `value_range`, or as they are if it is None."""
        return values if self.value_range is None else values.clamp(*self.value_range)

    def to_unit(self, values: Tensor) -> Tensor:
        """`values` scaled for display: `display_range` becomes [0, 1]. They aren't clamped."""
        low, high = self.display_range
        return (values - low) / (high - low)

    def show_fit(self, target: Tensor, reconstruction: Tensor, **options):
        """Draw two signals (*shape, c), the second clamped to `value_range`, and their absolute error.

        Of sounds, waves and spectrograms are drawn, and the error has its sign.
        """
        reconstruction = self.clamp(reconstruction)
        if self.is_sound:
            sounds = {"target": target, "reconstruction": reconstruction, "error": reconstruction - target}
            return show_sounds(sounds, self.rate, **{"value_range": self.display_range, **options})
        pictures = {"target": target, "reconstruction": reconstruction, "error": absolute_error(reconstruction, target)}
        return show_pictures(pictures, **{"value_range": self.display_range, **options})


class Positions:
    """Coordinates (n, d) without values, for predictions: a batch is `(coords,)`."""

    n_inp = 1

    def __init__(self, coords: Tensor):
        if coords.dim() != 2:
            raise ValueError(f"positions must be (n, d), got {tuple(coords.shape)}")
        self.coords = coords

    def __len__(self) -> int:
        return len(self.coords)

    def __getitem__(self, index) -> tuple[Tensor]:
        return (self.coords[index],)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} of {self.coords.shape[1]} dimensions, {self.device})"

    @property
    def device(self) -> torch.device:
        return self.coords.device

    def new_empty(self) -> "Positions":
        return Positions(self.coords[:0])

    def to_(self, device) -> "Positions":
        """Move the positions to `device`, in place."""
        self.coords = self.coords.to(device)
        return self


def checked_range(value_range) -> tuple[float, float]:
    """A (low, high) pair as floats. Raises: ValueError unless both are finite and low is below high."""
    low, high = (float(x) for x in value_range)
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"`value_range` must be (low, high) with low below high, got {value_range!r}")
    return low, high


def _checked_scale(time_scale: float) -> float:
    if not (isinstance(time_scale, (int, float)) and 0 < time_scale < math.inf):
        raise ValueError(f"`time_scale` must be a number above 0, got {time_scale!r}: 0.5 halves the frequencies")
    return float(time_scale)


def _extremes(values: Tensor) -> tuple[float, float]:
    """The least and greatest value, for display only; a constant c gives (c, c + 1)."""
    low, high = (float(x) for x in values.aminmax()) if values.numel() else (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    return low, high if high > low else low + 1.0

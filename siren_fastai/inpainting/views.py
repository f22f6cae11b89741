"""Views of photos: windows that are turned, zoomed, flipped and recoloured, drawn for each image apart.

Numbers are drawn by NumPy, a few for each image, so that a view depends on its own random numbers alone; all views of a
batch are then made at once on the device of the photos. A view never shows anything from outside its photo.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from siren_fastai.images import LUMA
from siren_fastai.inpainting.sources import Sources

__all__ = ["Views", "take_views"]

NUMBERS = 11  # that are drawn for a view: place (2), flips (2), warped, angle, zoom, and four of the colour
MIN_ZOOM = 0.5  # two pixels of the photo become one: below, bilinear interpolation would skip pixels


@dataclass(frozen=True)
class Views:
    """What is drawn for each view of a photo: a random window, flipped, and with the chance `warp` turned and zoomed.

    A view that isn't warped is a piece of the photo, pixel by pixel; a warped one is interpolated bilinearly, and so
    less sharp. The window lies inside the photo: where a turned one doesn't fit, it is zoomed in until it does.
    Raises: ValueError for values outside their ranges.
    """

    rotate: float = 15.0  # degrees to either side, at most; up to 180
    zoom: tuple[float, float] = (0.75, 1.5)  # least and greatest magnification, from 0.5; 2 is twice as large
    warp: float = 0.5  # probability of being turned and zoomed
    flip: float = 0.5  # probability of left and right changing places
    upside_down: float = 0.0  # probability of top and bottom changing places
    recolor: tuple[float, float, float, float] = (0.1, 0.2, 0.2, 10.0)  # most of: brightness, contrast, saturation, hue
    shared: bool = False  # one draw for all images of an epoch, which is a mistake to compare with

    def __post_init__(self):
        for name in ("warp", "flip", "upside_down"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be a probability from 0 to 1, got {getattr(self, name)!r}")
        if not 0 <= self.rotate <= 180:
            raise ValueError(f"`rotate` must be from 0 to 180 degrees, got {self.rotate!r}")
        if len(self.zoom) != 2 or not MIN_ZOOM <= self.zoom[0] <= self.zoom[1] < math.inf:
            raise ValueError(
                f"`zoom` must be (least, greatest), {MIN_ZOOM} or more, got {self.zoom!r}; shrink the photos to show "
                "more of them"
            )
        most = (1, 1, 1, 180)
        if len(self.recolor) != 4 or not all(0 <= x <= m for x, m in zip(self.recolor, most, strict=True)):
            raise ValueError(
                "`recolor` must be the most that brightness, contrast and saturation change, from 0 to 1, and the hue, "
                f"from 0 to 180 degrees; got {self.recolor!r}"
            )

    @classmethod
    def plain(cls) -> "Views":
        """Random windows, pixel by pixel, and nothing else."""
        return cls(0.0, (1.0, 1.0), 0.0, 0.0, 0.0, (0.0, 0.0, 0.0, 0.0))

    @property
    def exact(self) -> bool:
        """Whether every view consists of pixels of the photo, without interpolation."""
        return not self.warp or (not self.rotate and tuple(self.zoom) == (1, 1))

    def draw(self, rng: np.random.Generator) -> np.ndarray:  # (p,) float64
        """The random numbers of one view, in [0, 1)."""
        return rng.random(NUMBERS)

    def reach(
        self,
        size: tuple[int, int],  # (height, width) of the views
    ) -> tuple[int, int]:
        """(height, width) in pixels of the photo which hold every window."""
        if self.exact:
            return size
        sides = [_longest(*pair, math.radians(self.rotate)) / min(1, self.zoom[0]) for pair in (size, size[::-1])]
        return math.ceil(sides[0]) + 2, math.ceil(sides[1]) + 2


def take_views(
    sources: Sources,
    index: Tensor,  # (m,) of photos, on their device
    draws: Tensor,  # (m, p) float, as from `Views.draw`, on that device
    views: Views,
    size: tuple[int, int],  # (height, width) of the views; no photo is smaller
) -> Tensor:  # (m, c, height, width) float32 in [0, 1]
    """Make one view of each photo at `index`."""
    warped = torch.zeros_like(draws[:, 0]) if views.exact else (draws[:, 4] < views.warp).float()
    angle = warped * (2 * draws[:, 5] - 1) * math.radians(views.rotate)
    zoom = torch.exp(warped * torch.lerp(*(draws.new_tensor(math.log(z)) for z in views.zoom), draws[:, 6]))
    room = sources.sizes[index].to(draws)
    sides, matrix = _window(angle, zoom, room, size)
    places = torch.where(warped[:, None] > 0, draws[:, :2] * (room - sides), _whole(draws[:, :2], room - sides))
    flips = torch.stack([draws[:, 3] < views.upside_down, draws[:, 2] < views.flip], 1)
    if views.exact:
        images = _pieces(sources, index, places.long(), flips, size)
    else:
        center = places + sides / 2
        images = _interpolated(
            sources, index, center, matrix * (1 - 2 * flips[:, None].to(draws)), views.reach(size), size
        )
    return _recolored(images, draws[:, 7:], views.recolor)


def _longest(height: float, width: float, most: float) -> float:
    """The greatest height of the box around a window that is turned by up to `most` radians."""
    angle = min(most, math.atan2(width, height))
    return height * math.cos(angle) + width * math.sin(angle)


def _window(angle: Tensor, zoom: Tensor, room: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Sides (m, 2) of the boxes around the windows, and matrices (m, 2, 2) from steps in a view to steps in its photo.

    Windows that don't fit the photo's (height, width) `room` are made smaller.
    """
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    sides = turn.abs() @ turn.new_tensor(size) / zoom[:, None]
    fit = (room / sides).amin(1).clamp(max=1)
    return torch.minimum(sides * fit[:, None], room), turn * (fit / zoom)[:, None, None]


def _whole(draws: Tensor, free: Tensor) -> Tensor:
    """Integers from 0 to `free`, each as likely."""
    return (draws * (free.round() + 1)).floor().minimum(free.round())


def _pieces(sources: Sources, index: Tensor, places: Tensor, flips: Tensor, size: tuple[int, int]) -> Tensor:
    """Pieces of the photos, flipped or not; exactly k / 255."""
    images = sources.patches(index, places[:, 0], places[:, 1], size)
    for axis in (0, 1):
        images = torch.where(flips[:, axis, None, None, None], images.flip(2 + axis), images)
    return images.float().div_(255)


def _interpolated(sources, index, center, matrix, reach, size) -> Tensor:
    """Windows around `center`, interpolated in a patch of `reach` that holds them; nothing outside the photo counts."""
    room = sources.sizes[index]
    reach_ = torch.tensor(reach, device=room.device)
    corner = (center - reach_ / 2).floor().long().clamp(min=0).minimum((room - reach_).clamp(min=0))
    patches = sources.patches(index, corner[:, 0], corner[:, 1], reach).float().div_(255)
    rows, columns = (torch.arange(n, device=room.device) - (n - 1) / 2 for n in size)
    middle, last = center - 0.5 - corner, room - 1 - corner
    at = []  # rows and columns of the patch, (m, height, width) each
    for i in (0, 1):
        steps = matrix[:, i, 0, None, None] * rows[:, None] + matrix[:, i, 1, None, None] * columns
        inside = torch.minimum((middle[:, i, None, None] + steps).clamp_(min=0), last[:, i, None, None].to(steps))
        at.append(inside * (2 / (reach[i] - 1)) - 1)
    return F.grid_sample(patches, torch.stack(at[::-1], 3), padding_mode="border", align_corners=True)


def _recolored(images: Tensor, draws: Tensor, most: tuple[float, float, float, float]) -> Tensor:
    """The images in other colours: a 3x4 matrix for each, clamped to [0, 1]. Gray ones have no saturation and hue."""
    if not any(most):
        return images
    brightness, contrast, saturation, hue = ((2 * draws - 1) * draws.new_tensor(most)).unbind(1)
    contrast = 1 + contrast
    shift = (brightness + (1 - contrast) / 2)[:, None, None]
    flat = images.flatten(2)
    if images.shape[1] == 1:
        return (contrast[:, None, None] * flat).add_(shift).clamp_(0, 1).view_as(images)
    matrix = contrast[:, None, None] * (_hue(hue.deg2rad()) @ _saturation(1 + saturation))
    return torch.baddbmm(shift.expand(-1, 3, 1), matrix, flat).clamp_(0, 1).view_as(images)


def _saturation(factor: Tensor) -> Tensor:
    """(m, 3, 3): 0 makes gray, 1 changes nothing."""
    gray, same = factor.new_tensor([LUMA] * 3), torch.eye(3, device=factor.device)
    return torch.lerp(gray, same, factor[:, None, None])


def _hue(angle: Tensor) -> Tensor:
    """(m, 3, 3): rotations of colours about the axis of grays (Rodrigues' formula)."""
    cross = angle.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cos * torch.eye(3, device=angle.device) + (1 - cos) / 3 + sin * cross

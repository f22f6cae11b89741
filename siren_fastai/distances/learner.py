"""`distance_learner`: a fastai Learner whose network becomes the signed distance to a surface."""

import math
import numbers
from collections.abc import Callable, Sequence

import numpy as np
import torch
from fastai.callback.mixup import MixHandler
from fastai.learner import Learner
from fastai.torch_core import default_device
from fastcore.meta import delegates
from torch import Tensor, nn

from siren_fastai.distances.data import SurfaceDataLoaders, SurfacePoints
from siren_fastai.distances.figures import show_distances
from siren_fastai.distances.loss import WithGradient
from siren_fastai.distances.mesh import surface_mesh
from siren_fastai.learner import IndexedLearner, PixelLearner
from siren_fastai.models.siren import siren_model
from siren_fastai.optimizers import fast_adam
from siren_fastai.render import CHUNK, render

__all__ = ["DistanceLearner", "distance_learner", "start_as_ball_"]

HIDDEN, OMEGA = (64, 64, 64), 15.0  # a lower frequency than for images: distances have no fine detail
MAX_SAMPLES = 1 << 28  # of `render`: 1 GB
BALL_STEPS, BALL_BATCH, BALL_RADIUS, BALL_RATE = 200, 1024, 0.5, 1e-3


class DistanceLearner(IndexedLearner):
    """A fastai Learner of a signed distance: below 0 inside, above 0 outside. Boxes and values are in the user's units.

    `learn.model` gives values with gradients at positions scaled to [-1, 1]^d; `learn.model.network` values alone.
    """

    fit_fast = PixelLearner.fit_fast

    @property
    def box(self) -> tuple[float, ...]:
        """The space that is learned: d starts, then d ends."""
        data = self.dls.train_ds
        return tuple(c - data.scale for c in data.center) + tuple(c + data.scale for c in data.center)

    def render(
        self,
        box: Sequence[float] | None = None,  # d starts, then d ends, inside `learn.box`; None is all of it
        size: int | Sequence[int] = 64,  # samples along the longest side, or one number per axis
    ) -> Tensor:  # (*size,) float32 on the CPU
        """Sample the distance on a grid whose first and last samples lie on the box's sides.

        Raises: ValueError for a box that is empty or outside `learn.box`, or a bad size, such as one of more than
            2^28 samples, 1 GB.
        """
        data = self.dls.train_ds
        region = self._region(self.box if box is None else box)
        values = render(self.model.network, _sides(size, region), region.tolist(), "corners", clamp=None)
        return values[..., 0] * data.scale

    def _region(self, box: Sequence[float]) -> np.ndarray:
        """A box in [-1, 1]^d."""
        data = self.dls.train_ds
        d, ends = data.dimensions, np.asarray(box, dtype=float)
        if ends.shape != (2 * d,) or not (ends[:d] < ends[d:]).all():
            raise ValueError(f"`box` must be {d} starts, then {d} greater ends, got {list(box)}")
        region = (ends - np.array(data.center * 2)) / data.scale
        if not np.abs(region).max() <= 1 + 1e-6:
            raise ValueError(f"`box` must lie in {self.box}, which was learned, got {list(box)}")
        return region.clip(-1, 1)

    def mesh(
        self,
        box: Sequence[float] | None = None,  # as for `render`
        size: int | Sequence[int] = 64,  # as for `render`; memory grows with its cube
    ) -> tuple[np.ndarray, np.ndarray]:  # vertices (v, 3) in the user's units and triangles (f, 3)
        """The surface as triangles, in three dimensions: `save_mesh("torus.obj", *learn.mesh())`.

        Raises: ValueError for data in the plane, or a box without a surface.
        """
        if self.dls.train_ds.dimensions != 3:
            raise ValueError("a mesh needs points in three dimensions; in the plane, draw the zero contour of `render`")
        return surface_mesh(self.render(box, size), self.box if box is None else box)

    @delegates(show_distances, but=["values", "box"])
    def show_results(
        self,
        ds_idx: int = 1,  # fastai's, without effect, as `dl`, `max_n` and `shuffle` are: all of the space is drawn
        dl=None,
        max_n=None,
        shuffle: bool = False,
        size: int | Sequence[int] = 64,  # as for `render`
        **kwargs,
    ):
        """Draw the distance and its surface, in three dimensions as five slices along the first axis."""
        show_distances(self.render(size=size), self.box, **kwargs)

    def add_cb(self, cb):
        """As fastai's. Raises: ValueError for MixUp and CutMix, whose targets aren't those of the mixed positions."""
        kind = cb if isinstance(cb, type) else type(cb)
        if issubclass(kind, MixHandler):
            raise ValueError(f"`{kind.__name__}` mixes positions, and their distances don't mix: leave it out")
        return super().add_cb(cb)

    @delegates(IndexedLearner.lr_find)
    def lr_find(self, *args, **kwargs):
        """fastai's. Raises: ValueError if there are no samples, as in a learner that was exported and loaded."""
        self._need_samples()
        return super().lr_find(*args, **kwargs)

    def get_preds(self, *args, **kwargs):
        """fastai's, batch by batch: points on the surface, then as many free positions. `reorder` has no effect."""
        return super().get_preds(*args, **{**kwargs, "reorder": False})

    def predict(self, *args, **kwargs):
        """fastai's, which doesn't apply: data here are points with normals. Raises: TypeError."""
        raise TypeError("`predict` needs an item of the data, a point with a normal: use `render(box, size)`")

    def to_html(self, *args, **kwargs):
        """A page shows an image. Raises: TypeError."""
        raise TypeError("a page shows an image, not distances: use `render`, or `save_mesh(path, *learn.mesh())`")

    def distance_error(
        self,
        distance: Callable[[Tensor], Tensor],  # the true one, in the user's units: float64 positions (n, d) to (n,)
        size: int | Sequence[int] = 64,  # as for `render`
    ) -> dict[str, float]:
        """How far the network is from a distance that is known: mean and greatest absolute error on a grid.

        In the user's units. The grid covers all of `learn.box`; `distance` is called with a part of it at a time.
        Raises: ValueError for a `distance` that doesn't give one number for each position.
        """
        values, d = self.render(size=size), self.dls.train_ds.dimensions
        ends = zip(self.box[:d], self.box[d:], values.shape, strict=True)
        positions = torch.cartesian_prod(*(torch.linspace(*end, dtype=torch.float64) for end in ends))
        error = (values.flatten() - torch.cat([_distances(distance, part) for part in positions.split(CHUNK)])).abs()
        return {"mean": float(error.mean()), "max": float(error.max())}


@delegates(Learner.__init__)
def distance_learner(
    dls: SurfaceDataLoaders,  # points with normals
    model: nn.Module | None = None,  # positions (n, d) -> (n, 1), twice differentiable; None starts as a ball
    opt_func: Callable = fast_adam,  # as for `siren_learner`
    lr: float = 2e-3,  # the default of `fit_fast` and `fit_one_cycle`
    moms: tuple[float, float, float] = (0.9, 0.8, 0.9),  # momentum at the start, the peak and the end of one cycle
    wd: float = 0.0,  # weight decay
    **kwargs,
) -> DistanceLearner:
    """A Learner that turns a network into the signed distance to the surface of `dls`; a loss of its own is optional.

    A `model` that is given stays as it is. The default, a SIREN of three layers of 64 with omega_0 = 15, begins as the
    distance to a ball: from random weights, the paper's loss often ends in another solution than the distance.
    Raises: TypeError for other loaders or a model that is no network; ValueError for one that doesn't read the
        positions or gives more than one value.
    """
    if not isinstance(getattr(dls, "train_ds", None), SurfacePoints):
        raise TypeError("`dls` must be `SurfaceDataLoaders`, which `from_points(points, normals)` makes")
    d = dls.train_ds.dimensions
    device = getattr(dls, "device", None) or default_device()
    if model is None:
        model = start_as_ball_(siren_model([d, *HIDDEN, 1], OMEGA).to(device), d)
    _check_model(model, dls.train_ds.coords.new_zeros(2, d))
    return DistanceLearner(dls, WithGradient(model), opt_func=opt_func, lr=lr, moms=moms, wd=wd, **kwargs)


def start_as_ball_(
    network: nn.Module,  # positions (n, d) in [-1, 1]^d -> (n, 1); changed in place
    d: int,  # dimensions of the positions
    radius: float = BALL_RADIUS,  # of the ball around the origin
    steps: int = BALL_STEPS,  # of Adam
) -> nn.Module:  # `network`
    """Fit a network to the distance to a ball, roughly: a start with the right slopes and one surface."""
    first = next(network.parameters())
    optimizer = torch.optim.Adam(network.parameters(), BALL_RATE)
    for _ in range(steps):
        x = torch.rand(BALL_BATCH, d, device=first.device, dtype=first.dtype) * 2 - 1
        loss = (network(x)[:, 0] - (x.norm(dim=1) - radius)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    return network


def _check_model(model: nn.Module, x: Tensor) -> None:
    d = x.shape[1]
    needed = f"`model` must read positions of {d} coordinates and give one value, as `siren_model([{d}, 64, 64, 1])`"
    if not isinstance(model, nn.Module):
        raise TypeError(f"{needed}, got {model!r}")
    try:
        shape = tuple(model.to(x.device)(x).shape)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{needed}; it fails: {error}") from error
    if shape != (2, 1):
        raise ValueError(f"{needed}; it gives {shape[1:]} for each")


def _distances(distance: Callable[[Tensor], Tensor], positions: Tensor) -> Tensor:
    found = torch.as_tensor(distance(positions)).cpu()
    if found.shape != positions.shape[:1]:
        raise ValueError(
            f"`distance` must give one number for each of {len(positions)} positions, {(len(positions),)}, got shape "
            f"{tuple(found.shape)}"
        )
    return found


def _sides(size: int | Sequence[int], region: np.ndarray) -> tuple[int, ...]:
    """One length per axis; an integer is that of the longest side."""
    d = len(region) // 2
    spans = region[d:] - region[:d]
    sides = [size] if isinstance(size, numbers.Integral) else list(size) if isinstance(size, Sequence) else []
    alone = isinstance(size, numbers.Integral)
    if (len(sides) != d and not alone) or any(not isinstance(n, numbers.Integral) or n < 2 for n in sides):
        raise ValueError(f"`size` must be an integer of 2 or more, or {d} of them, got {size!r}")
    if alone:
        sides = [max(2, round(size * span / spans.max())) for span in spans]
    if math.prod(sides) > MAX_SAMPLES:
        raise ValueError(
            f"`size`={size!r} asks for {math.prod(sides):,} samples, and {MAX_SAMPLES:,} fit into 1 GB: "
            "use a smaller size, or one `box` after the other"
        )
    return tuple(sides)

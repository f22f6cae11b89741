"""How far a network that is fitted to points with normals is from the true signed distance.

python benchmarks/distances.py [--epochs 40] [--seeds 0 1 2] [--shapes ...] [--ways ...]
python benchmarks/distances.py --peer /somewhere/siren     # beside vsitzmann/siren, see peers.py for what it needs
python benchmarks/distances.py --picture docs/distances.png

Shapes with an exact distance, 10 000 points on the surface. Ways: the default, from a ball and from random weights;
without the nearest points' distances, in their place a free-space term that reaches far; the paper's loss. The errors
are absolute, in units of a shape about 1.4 wide in a space that is 2 wide: on a grid of all of it, and at 10 000 other
points of the surface.

vsitzmann/siren: its network, loss, optimiser, rate, batch and gradient clipping of `train_sdf.py`, and its data set
with its points in our box instead of a box around the points alone; one random seed, at our seconds and at five times
as many.
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from clock import now, timed_by
from fastai.torch_core import set_seed
from report import report

from siren_fastai.distances.data import SurfaceDataLoaders
from siren_fastai.distances.learner import OMEGA, DistanceLearner, distance_learner, start_as_ball_
from siren_fastai.distances.loss import DistanceLoss
from siren_fastai.distances.shapes import extruded, glyph, surface_points, torus
from siren_fastai.models.siren import siren_model
from siren_fastai.render import render

SHAPES = {"letter R": (glyph("R"), 2), "torus": (torus(), 3), "letter R, extruded": (extruded(glyph("R")), 3)}
POINTS, GRID, OTHER_POINTS = 10_000, {2: 128, 3: 40}, 1000  # the last: added to the seed of the points to train on
WAYS = {
    "default": lambda d: {},
    "default, random start": lambda d: {"model": siren_model([d, 64, 64, 64, 1], OMEGA)},
    "no nearest points": lambda d: {"loss_func": DistanceLoss(nearest=0, off_surface=10, sharpness=3), **calm(d)},
    "paper's loss": lambda d: {"loss_func": DistanceLoss.paper(), **calm(d)},
}
PEER_BATCH, PEER_RATE, LATER = 1400, 1e-4, 5  # as in `train_sdf.py`; times our seconds that it gets


def calm(d: int) -> dict:
    """A lower frequency and rate than the default's, at which the losses without nearest points did better."""
    return {"model": start_as_ball_(siren_model([d, 64, 64, 64, 1], 10.0), d), "lr": 1e-3}


def fitted(shape: str, options: Callable[[int], dict], epochs: int, seed: int) -> tuple[DistanceLearner, float]:
    """A learner in the box [-1, 1]^d, and the seconds from its points."""
    distance, d = SHAPES[shape]
    points, normals = surface_points(distance, POINTS, d, seed=seed)
    set_seed(seed, reproducible=True)
    begin = now()
    dls = SurfaceDataLoaders.from_points(points, normals, box=[-1] * d + [1] * d)
    learn = distance_learner(dls, **options(d))
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs)
    return learn, now() - begin


def errors(network: torch.nn.Module, shape: str, seed: int) -> tuple[float, float, float]:
    """Mean and greatest on a grid, and the mean on the surface."""
    distance, d = SHAPES[shape]
    size = (GRID[d],) * d
    axes = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in size], indexing="ij")
    true = distance(torch.stack(axes, dim=-1).view(-1, d)).view(size)
    error = (render(network, size, grid="corners", clamp=None)[..., 0] - true).abs()
    with torch.no_grad():
        on = network(surface_points(distance, POINTS, d, seed=seed + OTHER_POINTS)[0]).abs().mean()
    return float(error.mean()), float(error.max()), float(on)


class Theirs(torch.nn.Module):
    """Their network as one from positions (n, d) to values (n, 1)."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network({"coords": x[None]})["model_out"][0]


def peer_fits(libraries, shape: str, limits: list[float], seed: int):
    """Yield their network, its seconds and steps when one run reaches each of `limits` seconds."""
    dataio, modules, losses = libraries
    points, normals = surface_points(SHAPES[shape][0], POINTS, 3, seed=seed)
    set_seed(seed, reproducible=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # it prints a lot
        path = Path(folder) / "points.xyz"
        np.savetxt(path, torch.cat([points, normals], dim=1).numpy())
        data, network = dataio.PointCloud(str(path), PEER_BATCH), modules.SingleBVPNet(type="sine", in_features=3)
    data.coords = points.numpy()
    loader = torch.utils.data.DataLoader(data, shuffle=True, batch_size=1)
    optimizer, spent, steps = torch.optim.Adam(network.parameters(), lr=PEER_RATE), 0.0, 0
    for limit in limits:
        while spent < limit:
            begin = now()
            for inputs, target in loader:
                optimizer.zero_grad()
                sum(loss.mean() for loss in losses.sdf(network(inputs), target).values()).backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm=1.0)
                optimizer.step()
                steps += 1
            spent += now() - begin
        yield Theirs(network), spent, steps


def row(shape: str, way: str, runs: list[tuple[float, ...]], steps: int) -> dict:
    low, high = (f(run[0] for run in runs) for f in (min, max))
    mean, greatest, surface, seconds = (float(x) for x in np.median(runs, axis=0))
    span = f"{low:.4f}–{high:.4f}" if len(runs) > 1 else None
    found = {"mean error": mean, "range": span, "greatest": greatest, "on the surface": surface}
    return {"shape": shape, "fit": way, **found, f"{timed_by()} s": seconds, "steps": steps}


def our_row(shape: str, way: str, epochs: int, seeds: list[int]) -> dict:
    runs = []
    for seed in seeds:
        learn, seconds = fitted(shape, WAYS[way], epochs, seed)
        runs.append((*errors(learn.model.network, shape, seed), seconds))
    return row(shape, way, runs, epochs * len(learn.dls.train))


def peer_rows(libraries, shape: str, seconds: float, seed: int):
    """Their rows at about our seconds and at `LATER` times as many."""
    for network, spent, steps in peer_fits(libraries, shape, [seconds, LATER * seconds], seed):
        yield row(shape, "vsitzmann/siren", [(*errors(network, shape, seed), spent)], steps)


def draw(axes, seed: int = 0, size: int = 96) -> None:
    """Draw the mesh of a fitted letter, lit from above, onto matplotlib axes."""
    from matplotlib.collections import PolyCollection

    learn, _ = fitted("letter R, extruded", WAYS["default"], 40, seed)
    vertices, triangles = learn.mesh(size=size)
    turn, tilt = np.radians(-32), np.radians(22)
    about_y = np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]])
    about_x = np.array([[np.cos(tilt), np.sin(tilt), 0], [-np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    corners = (vertices @ (about_y @ about_x).T)[triangles]  # (f, 3 corners, 3): depth, row, column
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    light = (normals @ np.array([-0.6, -0.7, -0.4])).clip(0, 1)[:, None]
    colours = (0.25 + 0.75 * light) * np.array([0.45, 0.72, 1.0])
    order = np.argsort(-corners[:, :, 0].mean(1))
    axes.add_collection(
        PolyCollection(corners[order][:, :, [2, 1]], facecolors=colours[order], edgecolors="face", lw=0.3)
    )
    axes.set(xlim=(-0.95, 0.95), ylim=(0.95, -0.95), aspect="equal")
    axes.axis("off")


def picture(path: Path) -> None:
    """Write `draw` as an image of 300 pixels and 32 colours."""
    import matplotlib.pyplot as plt
    from PIL import Image

    figure = plt.figure(figsize=(3, 3), dpi=100)
    draw(figure.add_axes((0, 0, 1, 1)))
    buffer = io.BytesIO()
    figure.savefig(buffer)
    Image.open(buffer).convert("RGB").quantize(32).save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--peer", type=Path, help="a clone of vsitzmann/siren")
    parser.add_argument("--picture", type=Path, help="draw a mesh there, and do nothing else")
    args, rows = parser.parse_args(), []
    torch.set_num_threads(1)
    if args.picture:
        return picture(args.picture)
    libraries = None
    if args.peer:
        from peers import theirs

        _, *libraries = theirs(args.peer)
    for shape in args.shapes:
        ours = [our_row(shape, way, args.epochs, args.seeds) for way in args.ways]
        seconds = ours[0][f"{timed_by()} s"]
        theirs_too = peer_rows(libraries, shape, seconds, args.seeds[0]) if libraries and SHAPES[shape][1] == 3 else []
        found = [*ours, *theirs_too]
        print(*found, sep="\n", flush=True)
        rows += found
    report("distances", rows, {"seeds": args.seeds, "epochs": args.epochs})


if __name__ == "__main__":
    main()

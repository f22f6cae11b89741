"""How far a network that is fitted to points with normals is from the true signed distance.

python benchmarks/distances.py [--epochs 24] [--seeds 0 1 2]

Shapes with an exact distance, 10 000 points on the surface, the default network and loss; the same with the weights of
the official code, and with random weights in place of a ball at the start. The error is the mean absolute difference
on a grid of the whole space, in units of the shape, which is about 1.4 wide.
"""

import argparse
import time

import numpy as np
from fastai.torch_core import set_seed
from report import report

from siren_fastai.distances.data import SurfaceDataLoaders
from siren_fastai.distances.learner import OMEGA, distance_learner
from siren_fastai.distances.loss import DistanceLoss
from siren_fastai.distances.shapes import extruded, glyph, surface_points, torus
from siren_fastai.models.siren import siren_model

SHAPES = {"letter R": (glyph("R"), 2), "torus": (torus(), 3), "letter R, extruded": (extruded(glyph("R")), 3)}
POINTS, GRID = 10_000, {2: 128, 3: 40}
BOX = {2: [-1, -1, 1, 1], 3: [-1, -1, -1, 1, 1, 1]}
OFFICIAL = DistanceLoss(surface=3000, off_surface=100, sharpness=100)
WAYS = {
    "default": {},
    "official weights": {"loss_func": OFFICIAL},
    "random start": {"model": True},
}


def fitted(shape: str, way: str, epochs: int, seed: int) -> tuple[float, float, float]:
    distance, d = SHAPES[shape]
    points, normals = surface_points(distance, POINTS, d, seed=seed)
    set_seed(seed, reproducible=True)
    dls = SurfaceDataLoaders.from_points(points, normals, box=BOX[d])
    options = dict(WAYS[way])
    if "model" in options:
        options["model"] = siren_model([d, 64, 64, 64, 1], OMEGA)
    begin = time.perf_counter()
    learn = distance_learner(dls, **options)
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs)
    seconds = time.perf_counter() - begin
    return *learn.distance_error(distance, GRID[d]).values(), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    args, rows = parser.parse_args(), []
    for shape in args.shapes:
        for way in args.ways:
            runs = np.array([fitted(shape, way, args.epochs, seed) for seed in args.seeds])
            low, high = runs[:, 0].min(), runs[:, 0].max()
            middle = [float(x) for x in np.median(runs, axis=0)]
            row = {"shape": shape, "way": way, "mean error": middle[0], "range": f"{low:.4f} to {high:.4f}"}
            rows.append({**row, "greatest error": middle[1], "seconds": middle[2]})
            print(rows[-1], flush=True)
    report("distances", rows, {"seeds": args.seeds, "epochs": args.epochs})


if __name__ == "__main__":
    main()

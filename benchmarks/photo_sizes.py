"""What to expect of the README's five lines for photos of several sizes: PSNR and processor seconds.

OMP_NUM_THREADS=1 python benchmarks/photo_sizes.py [--pictures coffee] [--sizes 128 256 400] [--epochs 10 30]

`size` is that of `PixelDataLoaders.from_image`: the shorter side, the aspect ratio kept. Seconds are those of the
processor, for the whole fit with its validation: with one thread, other programs hardly change them.
"""

import argparse
import statistics
import time

import skimage.data
from fastai.torch_core import set_seed
from report import report

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import HIDDEN, fast_model
from siren_fastai.images import load_image
from siren_fastai.learner import siren_learner


def fit(image, epochs: int, seed: int, hidden) -> dict:
    """The PSNR and steps of the fit, and what it took of the processor."""
    set_seed(seed, reproducible=True)
    dls = PixelDataLoaders.from_image(image)
    learn = siren_learner(dls, fast_model(dls, hidden), cbs=MetricHistory())
    start = time.process_time()
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs)
    return learn.metric_history.rows[-1] | {"seconds": time.process_time() - start}


def row(picture: str, size: int, epochs: int, seeds: list[int], hidden) -> dict:
    image = load_image(getattr(skimage.data, picture, lambda: picture)(), size=size, mode="rgb")
    fits = [fit(image, epochs, seed, hidden) for seed in seeds]
    psnrs = [f["psnr"] for f in fits]
    cells = {"picture": picture, "pixels": "x".join(map(str, image.shape[:2])), "epochs": epochs}
    cells |= {"steps": fits[0]["opt_steps"], "PSNR dB, median": statistics.median(psnrs)}
    cells |= {"range": f"{min(psnrs):.2f}–{max(psnrs):.2f}"}
    return cells | {"processor s, median": statistics.median(f["seconds"] for f in fits)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", nargs="+", default=["coffee"], help="scikit-image's, or files")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 400])
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 30])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--hidden", type=int, nargs="+", default=HIDDEN, help="widths of the layers")
    parser.add_argument("--name", default="photo_sizes", help="of the JSON file")
    options = parser.parse_args()
    rows = []
    for picture in options.pictures:
        for size in options.sizes:
            for epochs in options.epochs:
                rows.append(row(picture, size, epochs, options.seeds, options.hidden))
                print(rows[-1], flush=True)
    report(options.name, rows, dict(seeds=options.seeds, hidden=options.hidden))


if __name__ == "__main__":
    main()

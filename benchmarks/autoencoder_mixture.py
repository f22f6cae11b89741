"""The note's mixture of gray tiles and fractals: how far from its squared error, and from the one it aimed at.

python benchmarks/autoencoder_mixture.py [--seeds 0 1 2] [--samples 40000] [--code 128]

8000 tiles and a crop of each of 2000 Kali fractals, 32x32 pixels, gray; codes of 128 values, squared error. Rows:
principal components; `fields_autoencoder` after its start, and after training on `--samples` images, tiles shifted and
all mirrored, as in the note. Numbers are of held-out instances, clamped to [0, 1]. The note ended at .004734 on its own
images, which these replace, and aimed at .001.
"""

import argparse
import statistics
import time

import torch
from fastai.torch_core import set_seed
from report import report
from torch.nn import functional as F

from siren_fastai.autoencoder.fields_start import fields_autoencoder
from siren_fastai.autoencoder.learner import autoencoder_learner
from siren_fastai.autoencoder.pca import fit_pca
from siren_fastai.data.picture_sets import mixed_dataloaders

NOTES, GOAL = 0.004734, 0.001


@torch.no_grad()
def error(draw, dls) -> float:
    """Mean squared error over the held-out images."""
    images = torch.cat([images for images, _ in dls.valid])
    return F.mse_loss(draw(images).clamp(0, 1), images).item()


def one_seed(seed: int, options) -> dict[str, tuple[float, float]]:
    """The squared error of each row, and the processor's seconds until then."""
    set_seed(seed, reproducible=True)
    dls = mixed_dataloaders(gray=True, device="cpu")
    images, _ = dls.train_ds[:]
    begun = time.process_time()
    pca = fit_pca(images, options.code)
    found = {"PCA": (error(lambda x: pca.decode(pca.encode(x)), dls), time.process_time() - begun)}
    begun = time.process_time()
    learn = autoencoder_learner(dls, fields_autoencoder(images, options.code, seed=seed, steps=0), loss="l2")
    found["fields, started"] = error(learn.model.eval(), dls), time.process_time() - begun
    with learn.no_bar(), learn.no_logging():
        learn.fit_samples(options.samples, warm_up=0.05)
    found["fields, trained"] = error(learn.model.eval(), dls), time.process_time() - begun
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--code", type=int, default=128)
    options = parser.parse_args()
    runs = [one_seed(seed, options) for seed in options.seeds]
    rows = []
    for name in runs[0]:
        errors, seconds = zip(*(run[name] for run in runs), strict=True)
        middle = statistics.median(errors)
        rows.append(
            {
                "autoencoder": name,
                "MSE, median": middle,
                "range": f"{min(errors):.5f}–{max(errors):.5f}",
                "times the note's .004734": middle / NOTES,
                "times its goal of .001": middle / GOAL,
                "processor s, median": statistics.median(seconds),
            }
        )
    report("autoencoder_mixture", rows, {"seeds": options.seeds, "samples": options.samples, "code": options.code})


if __name__ == "__main__":
    main()

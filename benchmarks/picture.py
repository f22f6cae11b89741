"""The README's figure of one fit: python benchmarks/picture.py [--epochs 30] writes docs/fit.png."""

import argparse

from fastai.torch_core import set_seed

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.data import PixelDataLoaders
from siren_fastai.figures import fit_figure
from siren_fastai.files import replacing
from siren_fastai.images import load_image
from siren_fastai.learner import siren_learner


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    set_seed(42, reproducible=True)
    target = load_image("data/astronaut.png")
    learn = siren_learner(PixelDataLoaders.from_image(target), cbs=MetricHistory())
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(options.epochs)
    table = learn.metric_history.to_frame()
    with replacing("docs/fit.png") as temporary:
        fit_figure(target, learn.render(), table.psnr, table.train_seconds).savefig(temporary, dpi=80)
    print(table[["epoch", "opt_steps", "train_seconds", "psnr"]].tail(1).to_string(index=False))


if __name__ == "__main__":
    main()

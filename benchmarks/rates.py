"""How good `lr_find`'s suggestions are: the PSNR of short fits at multiples of fastai's `valley`.

python benchmarks/rates.py [--size 64] [--epochs 25] [--seed 0]

Three pictures of scikit-image, each with three initialisations of [2, 128, 128, 128, 3], fitted with `fit_fast` at the
valley times 1, 2, 4 and 8, and at the learner's own default.
"""

import argparse

import skimage.data
from fastai.torch_core import set_seed
from report import report

from siren_fastai.data import PixelDataLoaders
from siren_fastai.default_model import fast_model
from siren_fastai.init import apply_init_
from siren_fastai.learner import siren_learner
from siren_fastai.models.siren import siren_model

FACTORS = (1, 2, 4, 8)
HIDDEN = (128, 128, 128)
NETWORKS = {
    "fast": lambda dls: fast_model(dls, HIDDEN),
    "siren": lambda dls: siren_model([2, *HIDDEN, 3]),
    "scheme 33": lambda dls: apply_init_(siren_model([2, *HIDDEN, 3]), 33),
}


def learner(picture: str, network: str, size: int, seed: int):
    set_seed(seed, reproducible=True)
    dls = PixelDataLoaders.from_image(getattr(skimage.data, picture)(), size=size, bs=512)
    return siren_learner(dls, NETWORKS[network](dls))


def row(picture: str, network: str, args) -> dict:
    def quality(rate):
        learn = learner(picture, network, args.size, args.seed)
        with learn.no_bar(), learn.no_logging():
            learn.fit_fast(args.epochs, rate)
        return learn.validate()[1]

    learn = learner(picture, network, args.size, args.seed)
    with learn.no_bar():
        valley = learn.lr_find(show_plot=False).valley
    qualities = {f"dB at {factor} x valley": quality(factor * valley) for factor in FACTORS}
    return {"picture": picture, "network": network, "valley": valley, **qualities, "dB at the default": quality(None)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="pixels of the shorter side")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = [row(picture, network, args) for picture in ("astronaut", "coffee", "chelsea") for network in NETWORKS]
    report("rates", rows, {"seed": args.seed, "size": args.size, "epochs": args.epochs})


if __name__ == "__main__":
    main()

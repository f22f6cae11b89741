"""Train the network that fills holes, of `data/inpainting.safetensors`, on a CPU.

python benchmarks/train_inpainting.py [PHOTO ...] [--samples 56000] [--seed 0] [--output unet.safetensors]

Photos are files or folders; without any, some that scikit-image, scikit-learn and matplotlib bring along. Each is
used at several sizes. A share of the training images are synthetic, see `dead_leaves.py`.
With `MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000` in the environment, glibc keeps memory, which
saves up to a third of the time.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import skimage.data
import sklearn.datasets
import torch
from dead_leaves import dead_leaves
from fastai.callback.core import Callback
from fastai.torch_core import set_seed
from PIL import Image
from torch import Tensor

from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.datasets.folder import iterate_images
from siren_fastai.inpainting.data import inpainting_dataloaders
from siren_fastai.inpainting.learner import inpainting_learner
from siren_fastai.inpainting.losses import HoleDecibels
from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.inpainting.metrics import HolePSNR
from siren_fastai.inpainting.networks import unet
from siren_fastai.inpainting.sources import Sources
from siren_fastai.inpainting.views import Views
from siren_fastai.optimizers import fast_adam

SCALES = (1.0, 0.7, 0.5, 0.35)
SIZE = 128
TEXTURES = (
    "brick.png",
    "grass.png",
    "gravel.png",
    "moon.png",
    "coins.png",
)  # used at full size alone: they are uniform
PHOTOS = ("astronaut.png", "rocket.jpg", "camera.png", *TEXTURES)
VALID = Path(skimage.data.data_dir) / "coffee.png"
VIEWS = Views(rotate=30, zoom=(0.75, 1.3), warp=0.3, upside_down=0.25, recolor=(0.1, 0.25, 0.3, 20))
NETWORK = dict(prefill="rays", stem=2, widths=(48, 88, 112), convs=1, blocks=(1, 2, 2))


@dataclass(frozen=True)
class ManyHoles:
    """Several holes per image, so that more of it teaches: one in each square of a 2x2 or a 3x3 grid."""

    large: float = 0.65  # share of images with four holes of 20 to 58 pixels; others have nine of 8 to 24

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:  # (9, 4) int64
        grid, low, high = (2, 20, 58) if rng.random() < self.large else (3, 8, 24)
        cell = np.array(size) // grid
        sides = np.minimum(rng.integers(low, high + 1, (grid * grid, 2)), cell - 6)
        corners = np.stack(np.divmod(np.arange(grid * grid), grid), 1) * cell
        holes = np.zeros((9, 4), np.int64)
        holes[: grid * grid] = np.concatenate([corners + rng.integers(cell - sides + 1), sides], 1)
        return holes

    def paint(self, draws: Tensor, size: tuple[int, int]) -> Tensor:
        return Rectangles().paint(draws, size)


class Bfloat16(Callback):
    """Compute the network in bfloat16 where that is safe, on the CPU: fastai's MixedPrecision is for CUDA alone."""

    def before_batch(self):
        self.autocast = torch.autocast("cpu", torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self):
        self.autocast.__exit__(None, None, None)


def bundled() -> list[Path]:
    """Photos that come with the packages, but for that which validates, and chelsea.png, which figures show."""
    shipped = Path(matplotlib.get_data_path()) / "sample_data"
    flowers = Path(sklearn.datasets.__file__).parent / "images"
    files = [Path(skimage.data.data_dir) / name for name in PHOTOS]
    return [*files, flowers / "china.jpg", flowers / "flower.jpg", shipped / "grace_hopper.jpg"]


def read(paths: list[Path]) -> dict[str, Tensor]:
    """RGB photos (3, h, w) uint8 by name, at several sizes."""
    photos = {}
    for path in paths:
        for name, image in iterate_images(path if path.is_dir() else [path], channels=3):
            for scale in SCALES[: 1 if Path(name).name in TEXTURES else None]:
                shape = [round(n * scale) for n in (image.shape[1], image.shape[0])]
                if min(shape) >= 1.5 * SIZE or scale == 1:
                    small = np.array(Image.fromarray(image).resize(shape, Image.Resampling.LANCZOS))
                    photos[f"{Path(name).name} at {scale}"] = torch.from_numpy(small).permute(2, 0, 1)
    return photos


def training_images(photos: dict[str, Tensor], synthetic: float, seed: int) -> Sources:
    """The photos, and as many synthetic images that they are the share `synthetic` of all."""
    rng, images = np.random.default_rng(seed), list(photos.values())
    leaves = [dead_leaves(images, rng) for _ in range(round(len(images) * synthetic / (1 - synthetic)))]
    return Sources([*images, *leaves], [*photos, *(f"leaves {i}" for i in range(len(leaves)))])


def train(options) -> None:
    set_seed(options.seed, reproducible=True)
    photos = read(options.photos or bundled())
    sources = training_images(photos, options.synthetic, options.seed)
    data = dict(size=SIZE, bs=options.bs, views=VIEWS, per_image=64, valid_per_image=24, seed=options.seed)
    holes = dict(holes=ManyHoles(), valid_holes=Rectangles(1, 2, side=(24, 56)))
    dls = inpainting_dataloaders(sources, valid=[VALID], device="cpu", **data, **holes)
    cbs = [TrainingWheels(factor=1.5, clip=options.clip), Bfloat16()]
    options_of = dict(loss=HoleDecibels(), metrics=HolePSNR(), opt_func=fast_adam, wd=0.0, cbs=cbs)
    learn = inpainting_learner(dls, unet(norm=options.norm, **NETWORK), **options_of)
    epochs = math.ceil(options.samples / len(dls.train_ds))
    begun = time.process_time()
    with learn.no_bar():
        learn.fit_one_cycle(epochs, options.lr, pct_start=0.05)
    seconds = time.process_time() - begun
    about = dict(samples=epochs * len(dls.train_ds), seed=options.seed, synthetic=options.synthetic, bs=options.bs)
    about |= dict(lr=options.lr, processor_seconds=round(seconds), photos=list(photos))
    learn.save_network(options.output, half=True, about=about)
    print(f"{seconds:.0f} processor seconds, {about['samples'] / seconds:.0f} samples per second: {options.output}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="*")
    parser.add_argument("--samples", type=int, default=56_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--synthetic", type=float, default=0.3, help="share of synthetic images")
    parser.add_argument("--bs", type=int, default=16)
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--norm", default="none")
    parser.add_argument("--clip", type=float, default=2.0)
    parser.add_argument("--output", type=Path, default=Path("unet.safetensors"))
    train(parser.parse_args())


if __name__ == "__main__":
    main()

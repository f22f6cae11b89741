"""Images per second for generating the collections, and for serving them with augmentation, on one core.

python benchmarks/datasets.py [--seconds 3]

Generating: `tile_images`, `kali_images` with 128x128 pixels and the fractals that its filter leaves out, `glyphs28`.
Serving: whole epochs of the training loader of 8000 tiles (flips, shifts of 4 pixels) and of 1000 fractals (flips,
crops of 32x32 pixels), of the same loader without augmentation, and, for comparison, of PyTorch's `DataLoader` without
processes, which does the same to one image after the other and stacks them.
"""

import argparse
import random
import time

import torch
from report import report
from torch.utils.data import DataLoader, Dataset

from siren_fastai.data import PictureDataLoaders
from siren_fastai.datasets.digits import glyphs28
from siren_fastai.datasets.kali_images import kali_images
from siren_fastai.datasets.tiles import tile_images


class OneByOne(Dataset):
    """The same augmentation as is usual: one image after the other."""

    def __init__(self, images, shift, crop):
        self.images, self.shift, self.crop = images, shift, crop

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = torch.nn.functional.pad(self.images[index], [self.shift] * 4)
        top, left = (random.randint(0, n - self.crop) for n in image.shape[1:])
        image = image[:, top : top + self.crop, left : left + self.crop]
        image = image.flip(2) if random.random() < 0.4 else image
        image = image.flip(1) if random.random() < 0.2 else image
        image = image.float() / 255
        return image, image


def rate(step, seconds: float) -> float:
    """Images per second of `step`, which returns how many it made, over at least `seconds` after one warm-up."""
    step()
    made, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        made += step()
    return made / (time.process_time() - start)


def epoch(loader):
    return lambda: sum(len(x) for x, _ in loader)


def served(name: str, images, seconds: float, shift: int = 0, crop: int | None = None) -> list[dict]:
    loaders = {
        "PictureDL, augmented": PictureDataLoaders.from_images(images, crop=crop, shift=shift, flip=True).train,
        "PictureDL, as they are": PictureDataLoaders.from_images(images[:, :, :32, :32]).train,
        "DataLoader, augmented": DataLoader(OneByOne(images, shift, 32), batch_size=64, shuffle=True),
    }
    return [
        {"what": f"serving {name}", "how": how, "images/s": round(rate(epoch(loader), seconds))}
        for how, loader in loaders.items()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of the processor, for each row")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    makers = {"tiles 32x32": tile_images, "fractals 128x128": kali_images, "glyphs 28x28": glyphs28}
    rows = []
    for name, make in makers.items():
        seeds = iter(range(10**6))
        made = rate(lambda make=make, seeds=seeds: len(make(50, next(seeds))[0]), seconds)
        rows.append({"what": f"generating {name}", "how": make.__name__, "images/s": round(made)})
    rows += served("tiles", tile_images(8000)[0], seconds, shift=4)
    rows += served("crops of fractals", kali_images(1000)[0], seconds, crop=32)
    report("datasets", rows, {"seconds are": "the processor's"})


if __name__ == "__main__":
    main()

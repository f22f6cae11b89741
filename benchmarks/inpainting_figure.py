"""Draws patches of two photos that didn't train the network: python benchmarks/inpainting_figure.py [--output FILE].

Rows: the hole, biharmonic, harmonic, along rays without a network, the network, the truth. Titles have the mean PSNR in
the hole. The patches are those of fixed random numbers.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
import torch
from inpainting import HOLES, SIZE, cases
from torch import Tensor

from siren_fastai.figures import mosaic, show_pictures
from siren_fastai.files import replacing
from siren_fastai.images import load_image
from siren_fastai.inpainting.baselines import biharmonic_fill, harmonic_fill, ray_fill
from siren_fastai.inpainting.files import load_network
from siren_fastai.inpainting.fill import fill_image
from siren_fastai.inpainting.scores import hole_psnr

COLUMNS, SEED, GRAY = 7, 3, 0.5


def chosen() -> list[tuple[int, Tensor, Tensor]]:
    """Patches with large holes, in turn from the two photos."""
    folder = Path(skimage.data.data_dir)
    photos = [load_image(folder / name) for name in ("coffee.png", "chelsea.png")]
    per_photo = -(-COLUMNS // len(photos))
    found = cases(photos, per_photo, HOLES["large"], SEED)
    return [found[i * per_photo + k] for k in range(per_photo) for i in range(len(photos))][:COLUMNS]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("data/inpainting.safetensors"))
    parser.add_argument("--output", type=Path, default=Path("docs/inpainting_network.webp"))
    options = parser.parse_args()
    model, some = load_network(options.model), chosen()
    target, mask = torch.stack([x for _, x, _ in some]).permute(0, 3, 1, 2), torch.stack([x for *_, x in some])[:, None]
    fills = {
        "biharmonic": biharmonic_fill,
        "harmonic": harmonic_fill,
        "along rays, nothing learned": ray_fill,
        "along rays, weighted by the network": lambda image, known: fill_image(model, image, known),
    }
    rows = {f"{len(some)} patches of {SIZE}x{SIZE} with holes": torch.where(mask, target, GRAY)}
    for name, fill in fills.items():
        filled = torch.stack([fill(image, known) for _, image, known in some]).permute(0, 3, 1, 2)
        rows[f"{name}: {np.mean(hole_psnr(filled, target, mask).tolist()):.1f} dB in the holes"] = filled
    rows["the photos"] = target
    axes = plt.subplots(len(rows), 1, figsize=(9, 9), layout="constrained")[1]
    strips = {title: mosaic(images, COLUMNS, gap=6) for title, images in rows.items()}
    with replacing(options.output) as temporary:
        show_pictures(strips, axes).savefig(temporary, dpi=90, format="webp", pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()

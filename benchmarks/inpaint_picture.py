"""The README's figure of inpainting: python benchmarks/inpaint_picture.py writes docs/inpainting.png.

A bundled photo with scratches, a caption and two blocks over it; the biharmonic fill; what `siren-fastai inpaint` makes
of it, and of it with the trained network in data/, which never saw this photo. Titles have the PSNR in the hole.
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from siren_fastai.cli.main import main as siren_fastai
from siren_fastai.figures import show_pictures
from siren_fastai.files import replacing
from siren_fastai.images import load_image
from siren_fastai.inpainting.baselines import biharmonic_fill, harmonic_fill
from siren_fastai.inpainting.masks import load_mask
from siren_fastai.quality import psnr

PHOTO = "data/cat.png"
BLOCKS = ((24, 150, 52, 184), (128, 30, 160, 58))  # top, left, bottom, right
SCRATCHES = 3


def holes(height: int, width: int) -> Image.Image:
    """The mask: white is known."""
    mask, rng = Image.new("L", (width, height), 255), np.random.default_rng(4)
    draw = ImageDraw.Draw(mask)
    for top, left, bottom, right in BLOCKS:
        draw.rectangle((left, top, right - 1, bottom - 1), fill=0)
    for _ in range(SCRATCHES):
        points = [(x, rng.uniform(0.1, 0.8) * height) for x in np.linspace(0, width, 5)]
        draw.line(points, fill=0, width=5, joint="curve")
    draw.text((width / 2, 0.9 * height), "a photo", fill=0, anchor="mm", font=ImageFont.load_default(30))
    return mask


def filled_by_command(folder: Path, mask: Path, *more: str) -> torch.Tensor:
    """The photo, filled by the command line."""
    output = folder / "filled.png"
    if siren_fastai(["inpaint", PHOTO, str(output), "--mask", str(mask), "--y", *more]):
        raise SystemExit("the command failed")
    return load_image(output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="data/inpainting.safetensors", help="a trained network")
    options = parser.parse_args()
    photo = load_image(PHOTO)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "mask.png"
        holes(*photo.shape[:2]).save(path)
        mask = load_mask(path)
        fills = {
            "biharmonic": biharmonic_fill(photo, mask),
            "inpaint": filled_by_command(folder, path),
            "inpaint --model": filled_by_command(folder, path, "--model", options.model),
        }
    print(f"harmonic {_in_hole(harmonic_fill(photo, mask), photo, mask):.2f} dB")
    shown = {"photo with holes": photo.masked_fill(~mask[..., None], 0.0)}
    shown |= {f"{name}, {_in_hole(image, photo, mask):.1f} dB": image for name, image in fills.items()}
    shown["the photo itself"] = photo
    axes = plt.subplots(1, len(shown), figsize=(2.9 * len(shown), 3.1), layout="constrained")[1]
    figure = show_pictures(shown, axes)
    with replacing("docs/inpainting.png") as temporary:
        figure.savefig(temporary, dpi=80)


def _in_hole(image: torch.Tensor, photo: torch.Tensor, mask: torch.Tensor) -> float:
    """The PSNR in dB of the pixels in the hole."""
    return psnr(image[~mask][None], photo[~mask][None])


if __name__ == "__main__":
    main()

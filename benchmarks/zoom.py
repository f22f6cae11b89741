"""The animation of the README, and what a finer rendering is worth: python benchmarks/zoom.py writes docs/zoom.webp.

A network is fitted to a photo at a smaller size. The table compares its rendering at the original size with the photo
itself, which the network never saw, and does the same for the usual ways to enlarge the pixels.
"""

import argparse

import skimage.data
from fastai.torch_core import set_seed
from PIL import Image, ImageDraw, ImageFont
from report import report

from siren_fastai.data import PixelDataLoaders
from siren_fastai.files import replacing
from siren_fastai.images import load_image, to_uint8
from siren_fastai.learner import siren_learner
from siren_fastai.quality import psnr, ssim

SIDE, GAP, STRIP = 360, 8, 26  # pixels of a panel, between panels, for the titles
DETAIL = (-0.63, 0.0, 0.2)  # where the zoom ends: centre (y, x) and half side, in coordinates
STEPS, HOLD, FPS = 40, 12, 15  # frames on the way, at rest at either end; frames a second
ENLARGED = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


def fit(image, epochs: int, seed: int = 0):
    set_seed(seed, reproducible=True)
    learn = siren_learner(PixelDataLoaders.from_image(image))
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs)
    return learn


def region_at(t: float) -> tuple[float, ...]:
    """The square shown at `t`: all of the image at 0, the detail at 1, shrinking evenly towards a fixed point."""
    *centre, half_side = DETAIL
    half = half_side**t
    middle = [c * (1 - half) / (1 - half_side) for c in centre]
    return (*(m - half for m in middle), *(m + half for m in middle))


def frame(learn, pixels: Image.Image, region) -> Image.Image:
    """The pixels of the region, enlarged without smoothing, and the network's rendering of the same region."""
    top, left, bottom, right = ((edge + 1) / 2 * pixels.width for edge in region)
    shown = {
        "the pixels": pixels.resize((SIDE, SIDE), Image.NEAREST, box=(left, top, right, bottom)),
        "the network": Image.fromarray(to_uint8(learn.render((SIDE, SIDE), region))),
    }
    page = Image.new("RGB", (2 * SIDE + GAP, SIDE + STRIP), "white")
    for i, (title, panel) in enumerate(shown.items()):
        page.paste(panel, (i * (SIDE + GAP), STRIP))
        ImageDraw.Draw(page).text((i * (SIDE + GAP) + 2, 3), title, "black", ImageFont.load_default(16))
    return page


def animate(learn, image, path: str) -> None:
    pixels = Image.fromarray(to_uint8(image))
    way = [region_at(i / STEPS) for i in range(STEPS + 1)]
    there = [frame(learn, pixels, region) for region in way]
    frames = there[:1] * HOLD + there + there[-1:] * HOLD + there[::-1]
    with replacing(path) as temporary:
        frames[0].save(
            temporary, save_all=True, append_images=frames[1:], duration=1000 // FPS, loop=0, quality=70, method=6
        )


def rows(learn, image, original) -> list[dict]:
    side = original.shape[0]
    made = {"network, rendered": learn.render((side, side))}
    for name, how in ENLARGED.items():
        made[f"pixels, {name}"] = load_image(Image.fromarray(to_uint8(image)).resize((side, side), how))
    return [{"enlarged by": k, "PSNR dB": psnr(v, original), "SSIM": ssim(v, original)} for k, v in made.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="of the image that is fitted")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    original = load_image(skimage.data.astronaut())
    image = load_image(skimage.data.astronaut(), size=options.size)
    learn = fit(image, options.epochs)
    notes = dict(size=options.size, original=original.shape[0], epochs=options.epochs, seed=0)
    report("zoom", rows(learn, image, original), notes | {"PSNR of the fit": f"{psnr(learn.render(), image):.2f}"})
    animate(learn, image, "docs/zoom.webp")


if __name__ == "__main__":
    main()

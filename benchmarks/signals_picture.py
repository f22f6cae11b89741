"""The README's row of images, one for each kind of signal: writes docs/signals.png.

python benchmarks/signals_picture.py [--only 0 2]
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
import torch
from audio import draw as draw_sound
from distances import draw as draw_shape
from fastai.torch_core import set_seed
from PIL import Image

from siren_fastai.data import PixelDataLoaders
from siren_fastai.data.gradients import GradientDataLoaders
from siren_fastai.figures import figure_pixels, mosaic
from siren_fastai.files import replacing
from siren_fastai.gradient_learner import gradient_learner
from siren_fastai.gradients import signal_gradients
from siren_fastai.images import load_image
from siren_fastai.learner import siren_learner
from siren_fastai.stacks.learner import stack_learner

SIZE = 128


def quietly(learn, epochs: int):
    with learn.no_bar(), learn.no_logging():
        learn.fit_fast(epochs)
    return learn


def film(rate: int) -> np.ndarray:
    """One second of a ball that goes around once, (rate, SIZE // 2, SIZE // 2, 3)."""
    side = SIZE // 2
    turn = 2 * np.pi * ((np.arange(rate) + 0.5) / rate)[:, None, None]
    y, x = np.meshgrid(*[(2 * np.arange(side) + 1) / side - 1] * 2, indexing="ij")
    dy, dx = y - 0.45 * np.sin(turn), x - 0.45 * np.cos(turn)
    inside = 1 / (1 + np.exp((np.hypot(dy, dx) - 0.4) * 20))
    light = np.clip(0.75 - 0.8 * (dy + dx), 0.2, 1)
    wall = np.broadcast_to(0.5 + 0.2 * np.sin(6 * x) * np.cos(5 * y), inside.shape)
    return np.stack([wall + (c * light - wall) * inside for c in (0.95, 0.6, 0.2)], axis=-1)


def draw_film(axes) -> None:
    learn = quietly(siren_learner(PixelDataLoaders.from_frames(film(12), rate=12)), 8)
    frames = learn.render(SIZE, rate=24)[3:7]  # the moments of two frames, and two between
    axes.imshow(mosaic(frames.permute(0, 3, 1, 2), columns=2))


def draw_gradients(axes) -> None:
    """The lengths of the gradients below the diagonal, the image that a network makes of them above it."""
    dls = GradientDataLoaders.from_image("data/astronaut.png", size=64, mode="gray", repeat=4)
    image = quietly(gradient_learner(dls), 10).render(4 * SIZE)[..., 0]
    lengths = signal_gradients(dls.image).norm(dim=-1)[None, ..., 0]
    lengths = torch.nn.functional.interpolate(lengths[None], size=image.shape, mode="nearest")[0, 0]
    lengths = (lengths / lengths.quantile(0.99)).clamp(0, 1)
    above = torch.ones_like(image).tril().flip(0).bool()
    axes.imshow(torch.where(above, image, lengths), cmap="gray", vmin=0, vmax=1)


def draw_many(axes) -> None:
    """Nine images, one network for each, in one Learner."""
    photos = [load_image(f"data/{name}.png", size=224, mode="rgb") for name in ("astronaut", "cat", "camera")]
    parts = [
        photo[top : top + 96, left : left + 96] for photo in photos for top, left in ((0, 64), (64, 20), (90, 110))
    ]
    learn = quietly(stack_learner(PixelDataLoaders.from_images(parts), [2, 64, 64, 64, 3], lr=2e-3), 12)
    axes.imshow(mosaic(torch.stack([learn.render(i) for i in range(len(parts))]).permute(0, 3, 1, 2), columns=3))


PANELS = {
    "a sound: the network's spectrogram": draw_sound,
    "a film, also between its frames": draw_film,
    "an image, from its gradients": draw_gradients,
    "a solid, from points and normals": draw_shape,
    "many images in one Learner": draw_many,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=int, nargs="*", help="numbers of panels, to look at them")
    chosen = parser.parse_args().only
    torch.set_num_threads(1)
    panels = [panel for i, panel in enumerate(PANELS.items()) if chosen is None or i in chosen]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(2.6 * len(panels), 2.8), dpi=110, layout="constrained", squeeze=False
    )
    for ax, (title, draw) in zip(axes[0], panels, strict=True):
        set_seed(0, reproducible=True)
        draw(ax)
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    with replacing("docs/signals.png") as temporary:
        Image.fromarray(figure_pixels(figure)).quantize(256).save(temporary, format="png", optimize=True)


if __name__ == "__main__":
    main()

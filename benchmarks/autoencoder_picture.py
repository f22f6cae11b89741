"""The README's figure of autoencoders: python benchmarks/autoencoder_picture.py writes docs/position_and_code.png.

Held-out tiles, what the note's recipe and the default network make of them after as many training samples, and the way
from one code to another at twice the size.
"""

import argparse

import matplotlib.pyplot as plt
import torch
from fastai.torch_core import set_seed

from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.encoders.conv import EncoderConv2d
from siren_fastai.autoencoder.learner import autoencoder_learner
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.data import tile_dataloaders
from siren_fastai.figures import mosaic, show_pictures
from siren_fastai.files import replacing

COLUMNS, SEED = 14, 42


def trained(dls, samples: int, model=None, **options):
    """A learner after `samples` tiles, and its L1 on held-out ones."""
    set_seed(SEED, reproducible=True)
    learn = autoencoder_learner(dls, model() if model else None, code_size=102, **options)
    with learn.no_bar(), learn.no_logging():
        learn.fit_samples(samples)
        return learn, learn.validate()[0]


def note_autoencoder():
    """The network that did best in the note."""
    return Autoencoder(EncoderConv2d(), ImageManifoldDecoder(102))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=19200)
    options = parser.parse_args()
    set_seed(SEED, reproducible=True)
    dls = tile_dataloaders(bs=64)
    note, note_l1 = trained(dls, options.samples, note_autoencoder, positions=64)
    learn, l1 = trained(dls, options.samples)
    held_out = dls.valid_ds.images
    tiles = held_out[torch.arange(COLUMNS) * len(held_out) // COLUMNS]
    rows = {
        "tiles that were held out, 3072 numbers each": tiles / 255,
        f"from 102 numbers, the note's recipe after {options.samples} tiles (L1 {note_l1:.3f})": note.reconstruct(
            tiles
        ),
        f"from 102 numbers, autoencoder_learner after as many (L1 {l1:.3f})": learn.reconstruct(tiles),
        "from the code of the second tile to that of the sixth, drawn with 64 x 64 pixels": learn.interpolate(
            tiles[1], tiles[5], COLUMNS, 64
        ),
    }
    axes = plt.subplots(len(rows), 1, figsize=(11, 4.6), layout="constrained")[1]
    strips = {title: mosaic(images, COLUMNS, gap=images.shape[-1] // 16) for title, images in rows.items()}
    with replacing("docs/position_and_code.png") as temporary:
        show_pictures(strips, axes).savefig(temporary, dpi=80, pil_kwargs={"optimize": True})
    print(f"{options.samples} tiles, random seed {SEED}, held-out L1: the note's {note_l1:.4f}, default {l1:.4f}")


if __name__ == "__main__":
    main()

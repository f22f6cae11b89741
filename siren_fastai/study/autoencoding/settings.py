"""The settings of an autoencoder in a study, and what is refused before any training. Imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path

from siren_fastai.models.tiling import check_tiling
from siren_fastai.names import OPTIMIZER_NAMES
from siren_fastai.study.checks import check_choice, check_count, check_device, check_levels, check_number

__all__ = ["DATA", "DECODERS", "DEFAULTS", "ENCODERS", "GRAY_DATA", "channels_of", "check", "size_of"]

DATA = {"tiles": 32, "tiles-300": 32, "kali": 32, "tiles+kali": 32, "digits28": 28, "glyphs28": 28}  # pixels per side
GRAY_DATA = ("digits28", "glyphs28")
ENCODERS = ("cnn", "dalle", "resnet", "patches", "fields", "pca")
DECODERS = ("manifold", "modulated", "hypernetwork", "local", "patches")
MULTIPLES = {"dalle": 8, "fields": 4}  # of which the images' sides must be one

DEFAULTS = {
    # the images
    "data": "tiles",  # one of DATA, or a folder of images
    "size": None,  # pixels per side; None: 32, or 28 of digits
    "gray": False,  # one channel
    "count": None,  # tiles or glyphs; None: 8000 and 10 000; "tiles-300" are 300 of them
    "fractals": 2000,  # Kali fractals, of which each epoch sees one crop each
    "augment": True,  # flips and shifts of tiles, flips and crops of fractals; digits and folders have none
    "code_size": 102,
    # the encoder
    "encoder": "cnn",  # one of ENCODERS; "fields" has its own decoder, "pca" is no network but principal components
    "channels": [16, 24, 32],  # of "cnn"
    "encoder_width": 64,  # channels of the first group of "dalle"
    # the decoder
    "decoder": "manifold",
    "hidden": 256,  # units of a layer
    "blocks": 2,  # of "manifold" and "local"
    "layers": 2,  # of a block; of "modulated" and "hypernetwork" in all
    "residual": "add",  # of "manifold"; or "concat"; "alternate": concat in the first, third, ... block
    "batch_norm": True,  # of "manifold" and "local"; or False; or "per_image", as the note trained it
    "frequencies": [7, 17],  # of "manifold", in rad per unit of [-1, 1]; None: up to the Nyquist frequency
    "cos": True,  # of "manifold"; False is the note's first version
    "cells": 5,  # rows and columns of "local"
    # the transformer: encoder and decoder "patches"
    "patch": 4,  # pixels
    "stride": 4,  # pixels from one patch to the next
    "token_size": 256,  # features of a token
    "token_layers": 2,  # of the encoder, and of the decoder
    "heads": 8,
    "dropout": 0.1,
    "norm_first": False,  # True normalises the inputs of layers; the note's normalise the outputs
    # training
    "loss": "l1",  # or "l2", the mean squared error
    "spread": 0.0,  # weight of the codes' spread, see `code_spread`
    "optimizer": "adam",
    "lr": 1e-3,
    "wd": 0.0,  # weight decay
    "schedule": "cosine",  # to 0, with every step; or "constant"
    "bs": 64,  # images per step
    "max_samples": 100_000,  # images that training sees
    "seed": 0,  # of everything random but the images
    "device": "cpu",  # or "cuda", "cuda:<n>", "auto"
    # measures
    "evaluations": 12,  # of the validation images, evenly over the samples
    "levels": [],  # to report the samples and the seconds to
    "level_unit": "l1",  # of the levels; or "mse"
    "pictures": False,  # write reconstructions.png
}
CHOICES = {
    **dict(encoder=ENCODERS, decoder=DECODERS, residual=("add", "concat", "alternate")),
    **dict(batch_norm=(True, False, "per_image"), loss=("l1", "l2"), schedule=("cosine", "constant")),
    **dict(optimizer=OPTIMIZER_NAMES, level_unit=("l1", "mse")),
    **{name: (False, True) for name in ("gray", "augment", "cos", "norm_first", "pictures")},
}
MINIMA = {
    **dict(size=8, count=1, fractals=1, code_size=1, encoder_width=4, hidden=1, blocks=1, layers=1, cells=1),
    **dict(patch=1, stride=1, token_size=1, token_layers=1, heads=1, bs=2, max_samples=1, seed=0, evaluations=2),
}


def size_of(settings: Mapping) -> int:
    """Return the pixels per side of the images."""
    return settings["size"] or DATA[settings["data"]]


def channels_of(settings: Mapping) -> int:
    """Return 1 or 3, the channels of the images."""
    return 1 if settings["gray"] or settings["data"] in GRAY_DATA else 3


def check(settings: Mapping) -> None:
    """Raise ValueError, with the setting and the reason, unless the autoencoder can be trained."""
    for name, choices in CHOICES.items():
        check_choice(name, settings[name], choices)
    for name, least in MINIMA.items():
        check_count(name, settings[name], least, optional=DEFAULTS[name] is None)
    check_number("lr", settings["lr"])
    for name in ("spread", "wd", "dropout"):
        check_number(name, settings[name], zero=True)
    if settings["dropout"] >= 1:
        raise ValueError(f"`dropout` must be a share below 1, got {settings['dropout']}")
    check_device(settings["device"])
    check_levels(settings["levels"])
    for check_part in (_check_data, _check_lists, _check_encoder, _check_patches):
        check_part(settings)


def _check_data(settings: Mapping) -> None:
    data = settings["data"]
    if data in DATA:
        return
    if not isinstance(data, str) or not Path(data).is_dir():
        raise ValueError(f"`data` must be a folder of images or one of {', '.join(DATA)}, got {data!r}")
    if settings["size"] is None:
        raise ValueError("`data` is a folder, so `size` must say to how many pixels per side its images are brought")


def _check_lists(settings: Mapping) -> None:
    channels, frequencies = settings["channels"], settings["frequencies"]
    if not isinstance(channels, list) or not channels:
        raise ValueError(f"`channels` must be a list such as [16, 24, 32], got {channels!r}")
    for count in channels:
        check_count("channels", count, 1)
    if frequencies is not None and not isinstance(frequencies, list):
        raise ValueError(f"`frequencies` must be a list such as [7, 17], or null, got {frequencies!r}")
    for frequency in frequencies or ():
        check_number("frequencies", frequency)


def _check_encoder(settings: Mapping) -> None:
    size, kind = size_of(settings), settings["encoder"]
    if kind == "cnn" and size <= 2 * len(settings["channels"]):
        raise ValueError(f"images of {size} pixels are too small for {len(settings['channels'])} convolutions of 3")
    if size % MULTIPLES.get(kind, 1):
        raise ValueError(f"`encoder: {kind}` needs a `size` that is a multiple of {MULTIPLES[kind]}, got {size}")
    if kind == "dalle" and settings["encoder_width"] % 4:
        raise ValueError(f"`encoder_width` must be a multiple of 4, got {settings['encoder_width']}")


def _check_patches(settings: Mapping) -> None:
    if "patches" not in (settings["encoder"], settings["decoder"]):
        return
    check_tiling(size_of(settings), settings["patch"], settings["stride"])
    if settings["token_size"] % settings["heads"]:
        raise ValueError(
            f"`token_size` must be a multiple of `heads`, got {settings['token_size']}, {settings['heads']}"
        )

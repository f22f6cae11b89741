"""The settings of a network that fills holes in a study, and what is refused before any training.

Imports nothing heavy.
"""

from collections.abc import Mapping
from pathlib import Path

from siren_fastai.names import OPTIMIZER_NAMES
from siren_fastai.study.checks import check_choice, check_count, check_device, check_number

__all__ = ["AUGMENTATIONS", "DATA", "DEFAULTS", "HOLES", "NETWORKS", "PHOTOS", "UNTRAINED", "check", "hole_sizes"]

PHOTOS = (  # those in colour that come with scikit-image and scikit-learn
    *("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket"),
    *("china", "flower"),
)
DATA = ("photos", "tiles", "kali")
AUGMENTATIONS = ("none", "shared", "per_image")
HOLES = ("small", "large")
UNTRAINED = ("mean", "smooth")
NETWORKS = ("unet", "ae", "ae_fc", *UNTRAINED)

DEFAULTS = {
    # the images
    "data": "photos",  # one of DATA, or a folder of images
    "size": 48,  # pixels per side that the network sees: a window of an image
    "count": 400,  # tiles or fractals
    "folds": 3,  # parts of the images, by source, of which number `seed` modulo `folds` validates
    "crops": 32,  # images that each photo is cut into, with sides of 4/3 of `size`, as tiles and fractals have them
    "augment": "per_image",  # each window moved, turned, flipped and recoloured anew; "shared": all alike; "none"
    # the holes, also those of the tests
    "holes": "large",  # that training has; or "small", "small_then_large"
    "small_count": [1, 3],  # rectangles per image
    "small_side": [3, 9],  # pixels
    "large_count": [1, 2],
    "large_side": [9, 21],
    # the network
    "network": "unet",  # one of NETWORKS; UNTRAINED ones are no networks but ways to prefill holes
    "widths": [8, 16, 32, 64],  # channels of the levels
    "last_skip": True,  # of "unet": the one at full resolution
    "conv": "plain",  # or "gated", "partial"
    "dilation": [],  # of further convolutions at the deepest level
    "attention": False,
    "mask_channel": None,  # whether the network sees where the holes are; None: but for "partial", which knows
    "prefill": "black",  # what it sees in the hole; or "mean", "smooth"
    "residual": False,  # its output is added to that
    "code_size": 128,  # of "ae_fc"
    "norm": "batch",  # or "group", "none"
    "output": "linear",  # or "sigmoid", "relu"
    # training
    "value_range": 1,  # colours reach from 0 to 1; or 255
    "loss": "l1",  # or "l2", the squared error
    "hole_weight": 6,  # of the hole's errors in the loss; 1 weighs all pixels alike
    "seam": 0.0,  # weight of the total variation around the hole
    "optimizer": "adam",
    "lr": 2e-3,  # the schedule's highest
    "wd": 0.0,  # weight decay
    "schedule": "cosine",  # to 0, with every step; or "constant"
    "clip": None,  # the greatest norm of the gradient
    "wheels": False,  # go back to a healthy state if the loss jumps and stays, or outputs collapse
    "bs": 16,  # images per step
    "max_samples": 6000,  # images that training sees
    "seed": 0,  # of everything random but the images
    "device": "cpu",  # or "cuda", "cuda:<n>", "auto"
    # measures
    "test_images": 48,  # windows of each kind of image that are scored
    "evaluations": 5,  # of the validation windows, evenly over the samples
    "pictures": False,  # write some validation windows with holes, filled, and as they are
}
CHOICES = {
    **dict(augment=AUGMENTATIONS, holes=(*HOLES, "small_then_large"), network=NETWORKS),
    **dict(conv=("plain", "gated", "partial"), prefill=("black", "mean", "smooth"), norm=("batch", "group", "none")),
    **dict(output=("linear", "sigmoid", "relu"), value_range=(1, 255), loss=("l1", "l2")),
    **dict(schedule=("cosine", "constant"), optimizer=OPTIMIZER_NAMES),
    **{name: (False, True) for name in ("last_skip", "attention", "residual", "wheels", "pictures")},
    "mask_channel": (None, False, True),
}
MINIMA = {
    **dict(size=16, count=16, folds=2, crops=1, code_size=1, bs=2, max_samples=1, seed=0, test_images=1),
    **dict(evaluations=2),
}


def hole_sizes(settings: Mapping) -> list[str]:
    """Return the kinds of holes that training has, in their order."""
    return settings["holes"].split("_then_")


def check(settings: Mapping) -> None:
    """Raise ValueError, with the setting and the reason, unless the network can be trained."""
    for name, choices in CHOICES.items():
        check_choice(name, settings[name], choices)
    for name, least in MINIMA.items():
        check_count(name, settings[name], least)
    check_number("lr", settings["lr"])
    check_number("clip", settings["clip"], optional=True)
    for name in ("hole_weight", "seam", "wd"):
        check_number(name, settings[name], zero=True)
    check_device(settings["device"])
    for check_part in (_check_data, _check_holes, _check_network):
        check_part(settings)


def _check_data(settings: Mapping) -> None:
    data = settings["data"]
    if data not in DATA and not (isinstance(data, str) and Path(data).is_dir()):
        raise ValueError(f"`data` must be a folder of images or one of {', '.join(DATA)}, got {data!r}")


def _check_holes(settings: Mapping) -> None:
    for name in (f"{kind}_{part}" for kind in HOLES for part in ("count", "side")):
        _check_counts(name, settings[name], "[1, 3]")
        if len(settings[name]) != 2 or settings[name][0] > settings[name][1]:
            raise ValueError(f"`{name}` must be the least and the greatest, such as [1, 3], got {settings[name]!r}")
    for name in (f"{kind}_side" for kind in HOLES):
        if settings[name][1] >= settings["size"]:
            raise ValueError(f"`{name}` must be below `size`, {settings['size']} pixels, got {settings[name]!r}")


def _check_network(settings: Mapping) -> None:
    _check_counts("widths", settings["widths"], "[8, 16, 32, 64]")
    _check_counts("dilation", settings["dilation"], "[2, 4]", empty=True)
    for other, value in (("value_range", 255), ("residual", True)):
        if settings["output"] == "sigmoid" and settings[other] == value:
            raise ValueError(f"`output: sigmoid` is from 0 to 1 as it is, so `{other}` can't be {value}")
    if settings["conv"] == "partial" and settings["mask_channel"]:
        raise ValueError("`conv: partial` reads the mask already, so `mask_channel` can't be true")
    divisor = 2 ** (len(settings["widths"]) - 1)
    if settings["network"] == "ae_fc" and settings["size"] % divisor:
        raise ValueError(
            f"`network: ae_fc` halves {len(settings['widths']) - 1} times, so `size` must be a multiple of {divisor}, "
            f"got {settings['size']}"
        )


def _check_counts(name: str, values, example: str, empty: bool = False) -> None:
    if not isinstance(values, list) or not (values or empty):
        raise ValueError(f"`{name}` must be a list such as {example}, got {values!r}")
    for value in values:
        check_count(name, value, 1)

"""The options of the codec's sub-commands: `compress`, `decompress`, `info` and `rd`."""

import argparse

from siren_fastai.cli.declared_shared import COLORS, CONFIG, DEVICE, PRINT_CONFIG
from siren_fastai.cli.options import Option, at_least, positive

__all__ = ["ABOUTS", "CLASSICS", "CLUSTERS_BY", "CLUSTERS_USE", "DENOISERS", "GROUPS", "USAGES"]

DENOISERS = ("auto", "median", "bilateral", "tv", "nlm")
CLUSTERS_BY = ("color", "error")
CLUSTERS_USE = ("feature", "network")
CLASSICS = ("jpeg", "webp", "avif")


def quality(text: str) -> int:
    """The type of whole numbers from 1 to 100."""
    number = at_least(1)(text)
    if number > 100:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 100, got {text!r}")
    return number


FILE = Option("file", "a .sirn file that compress wrote", metavar="FILE", positional=True)
OVERWRITE = Option("y", "overwrite the output if it is there already", None)
COLOR = Option("color", "compress it as it is, gray, or as RGB", choices=COLORS, default="auto")
STEPS = Option(
    "steps",
    "training steps, the last 60 % with quantised weights (default: 110 for each unit of the network's width)",
    at_least(1),
    metavar="N",
)
SEED = Option("seed", "seed of torch, numpy and random", at_least(0), 0)

TARGET = (
    Option("bpp", "bits per pixel of the whole file, at most", positive),
    Option("psnr", "quality to reach, in dB over all channels, in as few bytes as possible", positive, metavar="DB"),
    Option("quality", "from 1, the smallest file, to 100, the best", quality, metavar="Q"),
)
HELPERS = (
    Option("mean", "train on the picture less its mean colour, which is stored", None),
    Option("denoise", "denoiser after decoding; auto tries all, and may choose none", choices=DENOISERS),
    Option("denoise_strength", "of the denoiser; auto chooses it", positive),
    Option("clusters", "part the picture into K clusters, whose map is stored", at_least(1), metavar="K"),
    Option(
        "clusters_by",
        "color: cells of like colour; error: each cell to the network that errs least (default: color)",
        choices=CLUSTERS_BY,
    ),
    Option(
        "clusters_use",
        "feature: the cluster is an input of one network; network: each has its own (default: feature)",
        choices=CLUSTERS_USE,
    ),
    Option("clusters_cell", "side of the map's cells in pixels (default: 16)", at_least(1), metavar="N"),
)
GROUPS = {
    "compress": {
        "options": (
            Option("picture", "the picture to compress", metavar="PICTURE", positional=True),
            Option("output", "the file to write, such as picture.sirn", metavar="OUTPUT", positional=True),
            CONFIG,
            OVERWRITE,
            COLOR,
            STEPS,
            SEED,
            Option("report", "also write what was measured, as JSON", metavar="FILE"),
            DEVICE,
            PRINT_CONFIG,
        ),
        "target, exactly one": TARGET,
        "helpers, off unless given": HELPERS,
    },
    "decompress": {
        "options": (
            FILE,
            Option("output", "the picture to write, such as picture.png", metavar="OUTPUT", positional=True),
            CONFIG,
            OVERWRITE,
            Option(
                "size",
                "height and width in pixels (default: those of the picture that was compressed)",
                at_least(1),
                nargs=2,
                metavar=("H", "W"),
            ),
            PRINT_CONFIG,
        )
    },
    "info": {
        "options": (
            FILE,
            CONFIG,
            Option("json", "print it as JSON", None),
            PRINT_CONFIG,
        )
    },
    "rd": {
        "options": (
            Option(
                "folder", "the folder of the pictures, without those in its folders", metavar="FOLDER", positional=True
            ),
            CONFIG,
            Option(
                "output", "folder for rd.csv, rd.json, rd.png and files/ (required)", metavar="FOLDER", required=True
            ),
            OVERWRITE,
            Option("bpp", "bits per pixel of our files (required)", positive, nargs="+", metavar="BPP", required=True),
            Option(
                "codecs",
                "the classics beside us (default: those of jpeg, webp and avif that Pillow has)",
                choices=CLASSICS,
                nargs="+",
                metavar="CODEC",
            ),
            COLOR,
            STEPS,
            SEED,
            DEVICE,
            PRINT_CONFIG,
        )
    },
}
USAGES = {
    "compress": "siren-fastai compress PICTURE OUTPUT (--bpp BPP | --psnr DB | --quality Q) [options]",
    "decompress": "siren-fastai decompress FILE OUTPUT [options]",
    "info": "siren-fastai info FILE [options]",
    "rd": "siren-fastai rd FOLDER --output FOLDER --bpp BPP [BPP ...] [options]",
}
ABOUTS = {
    "compress": "Compress a picture: a network is fitted to it, quantised, and written as one small file. Ctrl-C ends "
    "with the best file so far.",
    "decompress": "Write the picture that a compressed file holds, at its own size or any other.",
    "info": "Print what a compressed file holds, and where its bytes go.",
    "rd": "Compress the pictures of a folder at several rates, and compare bits and PSNR with JPEG, WebP and AVIF.",
}

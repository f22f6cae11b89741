"""Every option of every sub-command, in one place, without importing what the commands need.

The first group of `fit` has the names and meanings of the note, which is the report of 2020 in
franec94/My-Siren-Deep-Learning-Test; hidden widths are options of their own.
"""

from siren_fastai.cli import declared_codec
from siren_fastai.cli.declared_shared import COLORS, CONFIG, DEVICE, PRINT_CONFIG
from siren_fastai.cli.options import Option, OptionParser, at_least, build_parser, positive

__all__ = [
    "ABOUTS",
    "CONVENTIONS",
    "GROUPS",
    "MODEL_TYPES",
    "OPTIMIZERS",
    "PRESETS",
    "SCHEDULES",
    "USAGES",
    "parser_of",
]

PRESETS = ("fast", "official")
MODEL_TYPES = (
    *("sine", "siren", "relu", "tanh", "selu", "elu", "softplus", "nerf", "rbf", "mixed"),
    *("fourier", "gauss", "wire", "finer", "grid"),
)
OPTIMIZERS = ("adam", "ranger", "ranger_adabelief", "soap", "muon")
SCHEDULES = ("one_cycle", "flat_cos", "constant")
RESIZE_MODES = ("stretch", "crop", "keep")
CONVENTIONS = ("standard", "note")

RESIZE = Option(
    "resize_mode",
    "to a square by stretching or by cropping the centre, or keep the proportions with S as the shorter side "
    "(default: keep; official: stretch)",
    choices=RESIZE_MODES,
)
CONVENTION = Option(
    "metric_convention",
    "unit of MSE, PSNR and SSIM: standard is values in [0, 1] and range 1; note is the note's, values in [-1, 1] with "
    "range 1, whose PSNR is 6.02 dB lower",
    choices=CONVENTIONS,
    default="standard",
)

NOTE = (
    CONFIG,
    Option("evaluate", "after training reload model_final from its file and score it: metrics.json and a figure", None),
    Option("y", "erase what is in the output folder, without asking", None),
    Option("n", "keep what is in the output folder, and write a new, numbered one beside it", None),
    Option("show_graphics", "save the figure of the metrics' history, and show it where there is a display", None),
    Option("seed", "seed of torch, numpy and random", at_least(0), 0),
    Option("logging_root", "folder of all experiments", default="./logs", metavar="FOLDER"),
    Option(
        "experiment_name",
        "name of the output folder in --logging_root; an absolute path stands alone (required)",
        metavar="NAME",
        required=True,
    ),
    Option("image_filepath", "picture to fit (default: scikit-image's camera picture, 512x512)", metavar="FILE"),
    Option(
        "sidelength",
        "resize the picture to SxS (default: its shorter side); see --resize_mode",
        at_least(1),
        metavar="S",
    ),
    Option(
        "batch_size", "pictures per batch; there is one, so this changes nothing: see --bs", at_least(1), 1, metavar="N"
    ),
    Option("lr", "learning rate (default: the library's; official: 1e-4)", positive),
    Option("num_epochs", "epochs to train for (default: the library's; official: 10000)", at_least(0), metavar="N"),
    Option("epochs_til_ckpt", "epochs between checkpoints, each with the history so far", at_least(1), 25, metavar="N"),
    Option(
        "steps_til_summary", "steps between log lines, each with a fresh model_current", at_least(1), 1000, metavar="N"
    ),
    Option(
        "model_type",
        "the network (default: the library's siren; official: sine, which is the same): " + ", ".join(MODEL_TYPES),
        choices=MODEL_TYPES,
        metavar="KIND",
    ),
    Option(
        "checkpoint_path", "start from the network in this file; with --num_epochs 0 only evaluate it", metavar="FILE"
    ),
)
FURTHER = (
    Option(
        "preset",
        "fast: the library's defaults; official: the setting of the note and of the official code, to the letter "
        "(Adam 1e-4, all pixels in one batch, 3 hidden layers of 256, omega_0 30, gray, targets in [-1, 1])",
        choices=PRESETS,
        default="fast",
    ),
    Option("resume", "continue the experiment of that name where it stopped, with its own options", None),
    RESIZE,
    Option("color", "fit it as it is, gray, or RGB (default: auto; official: gray)", choices=COLORS),
    Option("hidden_features", "width of the hidden layers (default: 256)", at_least(1), metavar="N"),
    Option(
        "hidden_layers", "layers from width to width (default: the library's; official: 3)", at_least(0), metavar="N"
    ),
    Option("omega_0", "frequency factor of sines and wavelets (default: the published one, 30; wire 20)", positive),
    Option("scheme", "initialisation of sine layers: a number from 1 to 38 or a name, such as siren or fast"),
    Option(
        "optimizer",
        "(default: the library's; official: adam) " + ", ".join(OPTIMIZERS),
        choices=OPTIMIZERS,
        metavar="NAME",
    ),
    Option("schedule", "of the learning rate (default: one_cycle; official: constant)", choices=SCHEDULES),
    Option("bs", "pixels per step (default: the library's; official: all)", at_least(1), metavar="N"),
    DEVICE,
    CONVENTION,
    Option("tensorboard", "also log to TensorBoard, in summaries/; needs siren_fastai[tensorboard]", None),
    PRINT_CONFIG,
)

CHECKPOINT = Option("checkpoint", "a .safetensors file that fit wrote", metavar="CHECKPOINT", positional=True)
GROUPS = {
    "fit": {"options of the note": NOTE, "further options": FURTHER},
    "evaluate": {
        "options": (
            CHECKPOINT,
            CONFIG,
            Option("image_filepath", "picture to compare with (default: the one it was fitted to)", metavar="FILE"),
            Option(
                "resize_mode", "how to bring it to the checkpoint's size (default: as in the fit)", choices=RESIZE_MODES
            ),
            Option("output", "also write metrics.json, the prediction and an annotated figure here", metavar="FOLDER"),
            DEVICE,
            PRINT_CONFIG,
        )
    },
    "render": {
        "options": (
            CHECKPOINT,
            Option("output", "the picture to write, such as picture.png", metavar="OUTPUT", positional=True),
            CONFIG,
            Option(
                "size",
                "height and width in pixels (default: as it was fitted)",
                at_least(1),
                nargs=2,
                metavar=("H", "W"),
            ),
            Option(
                "region",
                "top, left, bottom, right of the part to draw, in [-1, 1] (default: all); its pixels fill --size",
                float,
                nargs=4,
                metavar=("T", "L", "B", "R"),
            ),
            DEVICE,
            PRINT_CONFIG,
        )
    },
    "analyze": {
        "options": (
            Option("history", "a history.txt, or the folder of a fit", metavar="HISTORY", positional=True),
            CONFIG,
            Option(
                "ground_truth", "the picture as the network saw it (default: target.png of the fit)", metavar="FILE"
            ),
            Option("prediction", "the network's raw output (default: predicted_image.png of the fit)", metavar="FILE"),
            Option(
                "output",
                "folder of the report and the figures (default: analysis/ beside the history)",
                metavar="FOLDER",
            ),
            Option(
                "metric_convention",
                "what the history was measured in (default: the fit's, or standard; the old three-column files: note)",
                choices=CONVENTIONS,
            ),
            Option("title", "title of the report (default: the folder's name)"),
            PRINT_CONFIG,
        )
    },
    **declared_codec.GROUPS,
}
USAGES = {
    "fit": "siren-fastai fit --experiment_name NAME [options]",
    "evaluate": "siren-fastai evaluate CHECKPOINT [options]",
    "render": "siren-fastai render CHECKPOINT OUTPUT [options]",
    "analyze": "siren-fastai analyze HISTORY [options]",
    **declared_codec.USAGES,
}
ABOUTS = {
    "fit": "Train a coordinate network on a picture; checkpoints, history and pictures go to one folder.",
    "evaluate": "Score a checkpoint against a picture: MSE, PSNR and SSIM in both conventions, and bits per pixel.",
    "render": "Draw a checkpoint's picture at any size, whole or in part.",
    "analyze": "Describe a training history, and the leading digits of its picture and of the reconstruction.",
    **declared_codec.ABOUTS,
}


def parser_of(command: str) -> OptionParser:
    """The parser of a sub-command."""
    return build_parser(f"siren-fastai {command}", USAGES[command], ABOUTS[command], GROUPS[command])

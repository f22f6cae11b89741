"""`siren-fastai fit`: train a coordinate network on an image.

The first group of options has the names and meanings of the 2020 report, franec94/My-Siren-Deep-Learning-Test; hidden
widths are options of their own.
"""

from siren_fastai.cli.options import Chosen, Command, Option, integer, positive
from siren_fastai.cli.shared import CONFIG, DEVICE, JOBS, PRINT_CONFIG, SEED
from siren_fastai.names import (
    COLORS,
    METRIC_CONVENTIONS,
    MODEL_KINDS,
    OPTIMIZER_NAMES,
    PRESETS,
    RESIZE_MODES,
    SCHEDULES,
)

__all__ = ["COMMAND"]

REPORT = (
    CONFIG,
    Option("evaluate", "after training, reload model_final and score it: metrics.json and a figure", None),
    Option("y", "erase the contents of the output folder, if an earlier fit wrote it, without asking", None),
    Option("n", "keep the contents of the output folder, and write to a new, numbered folder next to it", None),
    Option("show_graphics", "save the figure of the metrics' history, and show it if there is a display", None),
    SEED,
    Option("logging_root", "folder of all experiments", default="./logs", metavar="FOLDER"),
    Option(
        "experiment_name",
        "name of the output folder in --logging_root, or an absolute path (required)",
        metavar="NAME",
        required=True,
    ),
    Option(
        "image_filepath",
        "image to fit, or a folder of images (default: scikit-image's camera image, 512x512)",
        metavar="FILE",
    ),
    Option(
        "sidelength",
        "resize the shorter side to S pixels, or the image to SxS: see --resize_mode (default: its shorter side)",
        integer(1),
        metavar="S",
    ),
    Option(
        "batch_size",
        "images per batch; there is only one, so this has no effect: see --bs",
        integer(1),
        1,
        metavar="N",
    ),
    Option("lr", "learning rate (default: the library's; official: 1e-4)", positive),
    Option("num_epochs", "epochs to train (default: the library's; official: 10000)", integer(0), metavar="N"),
    Option("epochs_til_ckpt", "epochs between checkpoints, each with the history so far", integer(1), 25, metavar="N"),
    Option(
        "steps_til_summary", "steps between log lines, each with a fresh model_current", integer(1), 1000, metavar="N"
    ),
    Option(
        "model_type",
        "the network (default: the library's siren; official: sine, which is the same)",
        choices=MODEL_KINDS,
        metavar="KIND",
    ),
    Option(
        "checkpoint_path", "start from the network in this file; with --num_epochs 0 only evaluate it", metavar="FILE"
    ),
)
FURTHER = (
    Option(
        "preset",
        "fast: the library's defaults; official: the settings of the report and of the official code (Adam 1e-4, all "
        "pixels in one batch, 3 hidden layers of 256, omega_0 30, gray, targets in [-1, 1])",
        choices=PRESETS,
        default="fast",
    ),
    Option("resume", "continue the experiment of that name where it stopped, with its own options", None),
    Option(
        "resize_mode",
        "keep: keep the proportions; stretch, crop: make it a square by stretching or cropping (default: "
        "keep; official: stretch)",
        choices=RESIZE_MODES,
    ),
    Option("color", "fit it as it is, as gray, or as RGB (default: auto; official: gray)", choices=COLORS),
    Option("hidden_features", "width of the hidden layers (default: 256)", integer(1), metavar="N"),
    Option("hidden_layers", "hidden-to-hidden layers (default: the library's; official: 3)", integer(0), metavar="N"),
    Option("omega_0", "frequency factor of sines and wavelets (default: the published one, 30; wire 20)", positive),
    Option("scheme", "initialisation of sine layers: a number from 1 to 38, a name such as fast, or a start's file"),
    Option(
        "optimizer",
        "the optimiser (default: the library's; official: adam)",
        choices=OPTIMIZER_NAMES,
        metavar="NAME",
    ),
    Option("schedule", "learning rate schedule (default: one_cycle; official: constant)", choices=SCHEDULES),
    Option("bs", "pixels per step (default: the library's; official: all)", integer(1), metavar="N"),
    DEVICE,
    Option(
        "metric_convention",
        "how MSE, PSNR and SSIM are computed: standard is values in [0, 1] with a data range of 1; note is the "
        "report's, values in [-1, 1] with a data range of 1, whose PSNR is 6.02 dB lower",
        choices=METRIC_CONVENTIONS,
        default="standard",
    ),
    Option("tensorboard", "also log to TensorBoard, in summaries/; needs siren_fastai[tensorboard]", None),
    JOBS,
    PRINT_CONFIG,
)


def complete(chosen: Chosen) -> Chosen:
    """Fill what the user left open: from the preset, or with --resume from the experiment."""
    from siren_fastai.cli.fitting import fill

    return fill(chosen)


def run(chosen: Chosen) -> int:
    """Fit as `chosen` says, write everything, and print where it is."""
    from siren_fastai.cli.fitting import run_fit

    return run_fit(chosen)


NOTES = """
### fit: the files that it writes

They go to `--logging_root`/`--experiment_name`/. Each is written under a temporary name first and then renamed. The
first ones are written when the network has been measured once; until then a folder that `--y` erases stays as it was.
Only folders that a fit has written, which hold the file `.siren_fastai_fit`, are erased, and only one fit at a time may
write to a folder (the file `.siren_fastai_lock`).

Ctrl-C, SIGTERM and SIGHUP (a closed terminal) end a fit after its last complete state is written; a second signal stops
at once.

| file | content |
|---|---|
| `history.txt` | epoch, MSE, PSNR (dB) and SSIM over all pixels, measured before each epoch's updates |
| `checkpoints/model_current.safetensors` | network and optimiser; `--resume` continues here, the same within rounding |
| `checkpoints/model_epoch_0025.safetensors`, ... | the network after that many epochs |
| `checkpoints/model_final.safetensors` | the network at the end |
| `checkpoints/*.json` | a readable summary of the checkpoint of the same name |
| `target.png`, `predicted_image.png` | the image as the network saw it, and its reconstruction, pixel for pixel |
| `metrics.json`, `predicted_image_with_metrics.png` | with `--evaluate` |
| `history.png` | with `--show_graphics` |
| `options.json`, `summaries/steps.txt` | the options; steps, samples, seconds and learning rate of each epoch |

`numpy.loadtxt` reads `history.txt`. In the standard convention the loss is the network's own mean squared error for
values in [0, 1], and PSNR and SSIM are those of the prediction clamped to [0, 1]. The report's convention measures
values in [-1, 1] with a data range of 1: the loss is 4 times as large, the PSNR is 6.02 dB lower, and the SSIM can only
be compared with the report's.

Of a folder of images, each becomes an experiment of its own, `--logging_root`/`--experiment_name`/the image's name, as
if it were fitted alone, and `scores.json` has the scores of all. On a processor they are fitted in `--jobs` processes,
on a GPU one after the other, unless `--jobs` says otherwise: the scores of each epoch are computed on the processor, in
0.4 s for 768x512 pixels. After an interruption the same command goes on: images that were fitted with the same options
are left out, and those that were begun are resumed; `--y` fits all again. In Python, `PixelDataLoaders.from_images` and
`stack_learner` fit a folder in one Learner, all networks at once.

`--batch_size` counts images, and there is only one: it is accepted and has no effect. The width of the network is
`--hidden_features`; in the report's program it was the side length.
"""

COMMAND = Command(
    name="fit",
    summary="train a coordinate network on an image",
    about="Train a coordinate network on an image; checkpoints, history and images go to one folder.",
    usage="--experiment_name NAME [options]",
    groups={"options of the 2020 report": REPORT, "further options": FURTHER},
    run=run,
    complete=complete,
    notes=NOTES,
    on_interrupt="writing the last complete state; press again to stop",
    advice={
        "memory": "give a smaller --sidelength or --bs",
        "space": "continue with --resume",
        "folder": ", by --logging_root and --experiment_name",
    },
)

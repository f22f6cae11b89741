"""`docs/cli.md` from the parsers: `python -m siren_fastai.cli.docs docs/cli.md` writes it, without a path prints it."""

import argparse
import sys
from pathlib import Path

from siren_fastai.cli.commands import COMMANDS
from siren_fastai.cli.options import Command, Option
from siren_fastai.cli.parser import ENVIRONMENT
from siren_fastai.files import replacing

__all__ = ["main", "page"]

HEAD = f"""# The command line

<!-- Written by `python -m siren_fastai.cli.docs docs/cli.md` from the parsers; a test keeps it current. -->

`siren-fastai COMMAND [options]`, or `python -m siren_fastai.cli COMMAND [options]`.

- Options may be written with underscores or dashes: `--num_epochs` is `--num-epochs`.
- Each can also be set by the environment, `{ENVIRONMENT}NUM_EPOCHS=300`, or in a config file, `-c run.ini`, with lines
  such as `num_epochs = 300`, `num_epochs: 300`, `evaluate=true`, `size=[64,96]`; `#` and `;` begin comments,
  `[section]` and `---` lines are ignored. Precedence: command line, environment, config file, default.
  `--print_config` tells where each value came from.
- Exit codes: 0 done, 1 failed (what was written before stays whole), 2 not understood or impossible as asked, 130
  interrupted by Ctrl-C.
"""

FOOT = """
## What `fit` writes

`--logging_root`/`--experiment_name`/, each file first under a temporary name and then renamed:

| file | content |
|---|---|
| `history.txt` | Epoch, train_loss(MSE), train_psnr (db), train_ssim of all pixels before each epoch's updates |
| `checkpoints/model_current.safetensors` | network and optimiser: `--resume` goes on from here, bit for bit |
| `checkpoints/model_epoch_0025.safetensors`, ... | the network after so many epochs |
| `checkpoints/model_final.safetensors` | the network at the end |
| `checkpoints/*.json` | what the file beside it holds, for people |
| `target.png`, `predicted_image.png` | the picture as the network saw it, and its reconstruction: raw pixels |
| `metrics.json`, `predicted_image_with_metrics.png` | with `--evaluate` |
| `history.png` | with `--show_graphics` |
| `options.json`, `summaries/steps.txt` | the options, and steps, samples, seconds and learning rate of each epoch |

`--batch_size` counts pictures, of which there is one: it is accepted and changes nothing. The hidden width is not the
side length, as it was in the note's program, but `--hidden_features`.

`numpy.loadtxt` reads `history.txt`. In the standard convention its loss is the network's own mean squared error, told
for values in [0, 1], and PSNR and SSIM are of the prediction cut to [0, 1]. The note's convention measures values in
[-1, 1] with a range of 1: a loss 4 times as large, a PSNR 6.02 dB lower, an SSIM that only compares with the note's.

## What `rd` writes

| file | content |
|---|---|
| `rd.csv` | a row for each picture, codec and setting: bytes, bits per pixel, PSNR (dB), SSIM, seconds |
| `rd.json` | the same, means over the pictures, and our bits beside the classics' at equal PSNR |
| `rd.png` | mean PSNR over mean bits per pixel, and thin the single pictures |
| `files/` | our files, by picture and bits per pixel |

Sizes are those of whole files, and PSNR and SSIM of the 8-bit pixels that they decode to. A rate that a picture is too
small for is told and left out; a mean is drawn if it is of all pictures. Ctrl-C ends with what is measured.
"""


def page() -> str:
    """The whole page, Markdown."""
    return HEAD + "".join(_section(command) for command in COMMANDS.values()) + FOOT


def _section(command: Command) -> str:
    lines = ["", f"## {command.name}", "", command.about, "", f"    siren-fastai {command.name} {command.usage}", ""]
    for title, options in command.groups.items():
        lines += [f"### {command.name}: {title}", "", "| option | values | meaning |", "|---|---|---|"]
        lines += [_row(option) for option in options] + [""]
    return "\n".join(lines)


def _row(option: Option) -> str:
    name = option.metavar if option.positional else f"--{option.name}"
    name = f"`{option.short}`, `{name}`" if option.short else f"`{name}`"
    default = "" if option.default is None else f" (default: `{option.default}`)"
    return f"| {name} | {_values(option)} | {(option.help + default).replace('|', '/')} |"


def _values(option: Option) -> str:
    if option.type is None:
        return "flag"
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    names = option.metavar if isinstance(option.metavar, tuple) else (option.metavar or "value",)
    return " ".join(str(name) for name in names)


def main(arguments: list[str] | None = None) -> int:
    """Print the page, or write it to the path given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path)
    path = parser.parse_args(arguments).path
    if path is None:
        sys.stdout.write(page())
        return 0
    with replacing(path) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

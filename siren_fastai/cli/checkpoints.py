"""A checkpoint on the command line: opened, and compared with the image it was fitted to."""

import math
from pathlib import Path

from PIL import Image
from torch import Tensor

from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.error_maps import absolute_error
from siren_fastai.figures import show_pictures
from siren_fastai.files import write_json
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.fits.image import fit_to, read_image
from siren_fastai.fits.outputs import save_figure
from siren_fastai.fits.scores import describe_scores
from siren_fastai.fits.state import Checkpoint
from siren_fastai.images import save_image

__all__ = ["EVALUATION", "open_checkpoint", "target_of", "write_evaluation"]

EVALUATION = ("predicted_image.png", "metrics.json", "predicted_image_with_metrics.png")  # what is written of it


def open_checkpoint(path: str) -> Checkpoint:
    """Read the checkpoint at `path`. Raises: CommandError if there is none, it is damaged, or not of an image."""
    if not Path(path).is_file():
        raise CommandError(f"there is no checkpoint {path}")
    with as_usage():
        checkpoint = load_checkpoint(path)
    if len(checkpoint.size) != 2 or checkpoint.grid is None or checkpoint.channels not in (1, 3):
        raise CommandError(f"{path} holds a signal that is not an image; use `load_checkpoint` in Python")
    if math.prod(checkpoint.size) > Image.MAX_IMAGE_PIXELS:
        most = Image.MAX_IMAGE_PIXELS // 1_000_000
        height, width = checkpoint.size
        raise CommandError(f"{path} asks for {height}x{width} pixels; images have at most {most} megapixels")
    return checkpoint


def target_of(checkpoint: Checkpoint, path: str | None, resize_mode: str | None) -> Tensor:
    """Return the image with the size and colours that the network was fitted to, from `path` or the fit's own image.

    Raises: CommandError if it cannot be read or does not come to the checkpoint's size.
    """
    options = checkpoint.options
    mode = resize_mode or options.get("resize_mode") or "stretch"
    color = {1: "gray", 3: "rgb"}[checkpoint.channels]
    with as_usage():
        image = read_image(path or options.get("image_filepath"), color, name="--image_filepath")
        target = fit_to(image, min(checkpoint.size), mode)
    if tuple(target.shape[:2]) != checkpoint.size:
        raise CommandError(
            f"the image comes to {target.shape[0]}x{target.shape[1]} pixels, the checkpoint's has "
            f"{checkpoint.size[0]}x{checkpoint.size[1]}: give the image it was fitted to, or another --resize_mode"
        )
    return target


def write_evaluation(folder: Path, metrics: dict, prediction: Tensor, target: Tensor) -> None:
    """Write the prediction, the metrics and a figure of both to `folder`."""
    image_name, metrics_name, figure_name = EVALUATION
    save_image(prediction, folder / image_name)
    write_json(metrics, folder / metrics_name)
    error = absolute_error(prediction, target)
    figure = show_pictures({"target": target, "reconstruction": prediction, "error": error})
    figure.suptitle(describe_scores(metrics["standard"]))
    save_figure(figure, folder / figure_name)

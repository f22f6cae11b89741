"""A checkpoint of the command line: opened, and compared with the image it was fitted to."""

from pathlib import Path

from torch import Tensor

from siren_fastai.checkpoint import Checkpoint, load_checkpoint
from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.outputs import describe_scores, save_figure, save_json
from siren_fastai.cli.pictures import fit_to, read_picture
from siren_fastai.error_maps import absolute_error
from siren_fastai.figures import show_pictures
from siren_fastai.images import save_image

__all__ = ["open_checkpoint", "target_of", "write_evaluation"]


def open_checkpoint(path: str) -> Checkpoint:
    """The checkpoint at `path`. Raises: CommandError if there is none or it is damaged."""
    if not Path(path).is_file():
        raise CommandError(f"there is no checkpoint {path}")
    with as_usage():
        return load_checkpoint(path)


def target_of(checkpoint: Checkpoint, path: str | None, resize_mode: str | None) -> Tensor:
    """The picture as the network was meant to see it: its size and colours, from `path` or the fit's own picture.

    Raises: CommandError if it cannot be read or does not come to the checkpoint's size.
    """
    options = checkpoint.options
    mode = resize_mode or options.get("resize_mode") or "stretch"
    color = {1: "gray", 3: "rgb"}[checkpoint.model.config["n_out"]]
    picture = read_picture(path or options.get("image_filepath"), color)
    target = fit_to(picture, min(checkpoint.size), mode)
    if tuple(target.shape[:2]) != checkpoint.size:
        raise CommandError(
            f"the picture comes to {target.shape[0]}x{target.shape[1]} pixels, the checkpoint's has "
            f"{checkpoint.size[0]}x{checkpoint.size[1]}: give the picture it was fitted to, or another --resize_mode"
        )
    return target


def write_evaluation(folder: Path, metrics: dict, prediction: Tensor, target: Tensor) -> None:
    """Write the prediction, the metrics and a figure of both to `folder`."""
    save_image(prediction, folder / "predicted_image.png")
    save_json(metrics, folder / "metrics.json")
    error = absolute_error(prediction, target)
    figure = show_pictures({"target": target, "reconstruction": prediction, "error": error})
    figure.suptitle(describe_scores(metrics["standard"]))
    save_figure(figure, folder / "predicted_image_with_metrics.png")

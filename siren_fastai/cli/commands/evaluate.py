"""`siren-fastai evaluate`: score a checkpoint against an image."""

from siren_fastai.cli.options import Chosen, Command, Option
from siren_fastai.cli.shared import CHECKPOINT, CONFIG, DEVICE, MAX_SECONDS, OVERWRITE, PRINT_CONFIG
from siren_fastai.names import RESIZE_MODES

__all__ = ["COMMAND"]

OPTIONS = (
    CHECKPOINT,
    CONFIG,
    OVERWRITE,
    Option("image_filepath", "image to compare with (default: the one it was fitted to)", metavar="FILE"),
    Option("resize_mode", "how to bring it to the checkpoint's size (default: as in the fit)", choices=RESIZE_MODES),
    Option(
        "output", "folder for metrics.json, the prediction and an annotated figure (default: none)", metavar="FOLDER"
    ),
    MAX_SECONDS,
    DEVICE,
    PRINT_CONFIG,
)


def run(chosen: Chosen) -> int:
    """Print the scores as JSON; with --output also write them, the prediction and a figure."""
    from siren_fastai.cli.checkpoints import EVALUATION, open_checkpoint, target_of, write_evaluation
    from siren_fastai.cli.errors import as_usage
    from siren_fastai.cli.paths import check_outputs
    from siren_fastai.cli.sizes import check_memory, check_seconds
    from siren_fastai.files import strict_json
    from siren_fastai.fits.devices import deterministic, device_of
    from siren_fastai.fits.scores import metrics_of

    with as_usage():
        device = device_of(chosen.device)
    checkpoint = open_checkpoint(chosen.checkpoint)
    check_memory(checkpoint.size, 6 * checkpoint.channels)
    read = (chosen.checkpoint, chosen.image_filepath, checkpoint.options.get("image_filepath"), chosen.config_filepath)
    folder = chosen.output and check_outputs(chosen.output, EVALUATION, chosen.y, *read)
    checkpoint.model.to(device)
    with deterministic(device), as_usage():
        check_seconds(checkpoint, checkpoint.size, chosen.max_seconds)
        target = target_of(checkpoint, chosen.image_filepath, chosen.resize_mode)
        prediction = checkpoint.render()
    metrics = metrics_of(checkpoint, prediction, target)
    print(strict_json(metrics))
    if folder:
        write_evaluation(folder, metrics, prediction, target)
    return 0


COMMAND = Command(
    name="evaluate",
    summary="score a checkpoint against an image",
    about="Score a checkpoint against an image: MSE, PSNR and SSIM in both conventions, and bits per pixel.",
    usage="CHECKPOINT [options]",
    groups={"options": OPTIONS},
    run=run,
)

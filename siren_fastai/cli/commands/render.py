"""`siren-fastai render`: draw a checkpoint at any size, whole or in part."""

from siren_fastai.cli.options import Chosen, Command, Option, number
from siren_fastai.cli.shared import CHECKPOINT, CONFIG, DEVICE, MAX_SECONDS, OVERWRITE, PRINT_CONFIG, SIZE

__all__ = ["COMMAND"]

OPTIONS = (
    CHECKPOINT,
    Option("output", "the image to write, such as image.png", metavar="OUTPUT", positional=True),
    CONFIG,
    OVERWRITE,
    SIZE,
    Option(
        "region",
        "top, left, bottom, right of the part to draw, in [-1, 1] (default: all); --size is the size of that part",
        number,
        nargs=4,
        metavar=("T", "L", "B", "R"),
    ),
    MAX_SECONDS,
    DEVICE,
    PRINT_CONFIG,
)


def run(chosen: Chosen) -> int:
    """Write the image to `chosen.output`."""
    from siren_fastai.cli.checkpoints import open_checkpoint
    from siren_fastai.cli.errors import as_usage
    from siren_fastai.cli.paths import check_output
    from siren_fastai.cli.sizes import check_format, check_memory, check_seconds, output_size
    from siren_fastai.cli.terminal import render_progress
    from siren_fastai.fits.devices import deterministic, device_of
    from siren_fastai.images import save_image

    with as_usage():
        device = device_of(chosen.device)
    checkpoint = open_checkpoint(chosen.checkpoint)
    size = height, width = output_size(checkpoint.size, chosen.size, chosen.region)
    check_format(chosen.output, size)
    check_memory(size, 3 * checkpoint.channels)
    output = check_output(chosen.output, chosen.y, chosen.checkpoint, chosen.config_filepath)
    checkpoint.model.to(device)
    with deterministic(device), as_usage():
        check_seconds(checkpoint, size, chosen.max_seconds)
        with render_progress(checkpoint.model, height * width):
            image = checkpoint.render(size, chosen.region and tuple(chosen.region))
        save_image(image, output)
    print(f"{output}: {height}x{width} pixels")
    return 0


COMMAND = Command(
    name="render",
    summary="draw a checkpoint at any size, whole or in part",
    about="Draw a checkpoint's image at any size, whole or in part.",
    usage="CHECKPOINT OUTPUT [options]",
    groups={"options": OPTIONS},
    run=run,
)

"""`siren-fastai render`: draw a checkpoint at any size, whole or in part."""

from siren_fastai.cli.options import Chosen, Command, Option, integer
from siren_fastai.cli.shared import CHECKPOINT, CONFIG, DEVICE, PRINT_CONFIG

__all__ = ["COMMAND"]

OPTIONS = (
    CHECKPOINT,
    Option("output", "the image to write, such as image.png", metavar="OUTPUT", positional=True),
    CONFIG,
    Option("size", "height and width in pixels (default: as it was fitted)", integer(1), nargs=2, metavar=("H", "W")),
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


def run(chosen: Chosen) -> int:
    """Write the image to `chosen.output`."""
    from siren_fastai.cli.checkpoints import open_checkpoint
    from siren_fastai.cli.devices import deterministic, device_of
    from siren_fastai.cli.errors import CommandError, as_usage
    from siren_fastai.cli.pictures import available_memory
    from siren_fastai.images import save_image

    device = device_of(chosen.device)
    checkpoint = open_checkpoint(chosen.checkpoint)
    height, width = chosen.size or checkpoint.size
    needed = 4 * 3 * height * width * checkpoint.model.config["n_out"]
    spare = available_memory(device_of("cpu"))
    if spare is not None and needed > spare:
        raise CommandError(
            f"{height}x{width} pixels need about {needed / 2**30:.1f} GiB, and {spare / 2**30:.1f} are free"
        )
    checkpoint.model.to(device)
    with deterministic(device), as_usage():
        image = checkpoint.render((height, width), chosen.region and tuple(chosen.region))
        save_image(image, chosen.output)
    print(f"{chosen.output}: {height}x{width} pixels")
    return 0


COMMAND = Command(
    name="render",
    summary="draw a checkpoint at any size, whole or in part",
    about="Draw a checkpoint's image at any size, whole or in part.",
    usage="CHECKPOINT OUTPUT [options]",
    groups={"options": OPTIONS},
    run=run,
)

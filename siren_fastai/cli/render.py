"""`siren-fastai render`: draw a checkpoint at any size, whole or in part."""

from pathlib import Path

from siren_fastai.cli.devices import deterministic, device_of
from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.evaluate import open_checkpoint
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.pictures import available_memory
from siren_fastai.images import save_image

__all__ = ["run"]


def run(chosen: Chosen) -> int:
    """Write the picture to `chosen.output`."""
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
        picture = checkpoint.render((height, width), chosen.region and tuple(chosen.region))
        save_image(picture, chosen.output)
    print(f"{Path(chosen.output)}: {height}x{width} pixels")
    return 0

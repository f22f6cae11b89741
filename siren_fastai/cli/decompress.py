"""`siren-fastai decompress`: the picture that a compressed file holds."""

from dataclasses import replace
from pathlib import Path

from siren_fastai.cli.coded import check_output, read_coded
from siren_fastai.cli.devices import device_of
from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.pictures import available_memory
from siren_fastai.images import save_image
from siren_fastai.sirn.decode import decode
from siren_fastai.sirn.format import Encoded, Limits, read

__all__ = ["run"]


def run(chosen: Chosen) -> int:
    """Write the picture to `chosen.output`."""
    with as_usage(f"{chosen.file}: "):
        encoded = read(read_coded(chosen.file, Limits().size))
    if chosen.size:
        encoded = replace(encoded, height=chosen.size[0], width=chosen.size[1])
    _check_memory(encoded)
    output = check_output(chosen.output, chosen.y, chosen.file)
    with as_usage():
        save_image(decode(encoded), output)
    print(f"{Path(output)}: {encoded.height}x{encoded.width} pixels")
    return 0


def _check_memory(encoded: Encoded) -> None:
    """Refuse a picture that cannot be held: as floats, and with a denoiser a few times."""
    needed = 4 * (8 if encoded.denoise else 3) * encoded.height * encoded.width * encoded.channels
    spare = available_memory(device_of("cpu"))
    if spare is not None and needed > spare:
        raise CommandError(
            f"{encoded.height}x{encoded.width} pixels need about {needed / 2**30:.1f} GiB, and {spare / 2**30:.1f} "
            "are free: give a smaller --size"
        )

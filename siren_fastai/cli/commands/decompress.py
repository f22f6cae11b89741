"""`siren-fastai decompress`: the image that a compressed file holds."""

from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.options import Chosen, Command, Option, integer, positive
from siren_fastai.cli.paths import check_output, read_coded
from siren_fastai.cli.shared import CONFIG, OVERWRITE, PRINT_CONFIG, SIRN_FILE

__all__ = ["COMMAND"]

OPTIONS = (
    SIRN_FILE,
    Option("output", "the image to write, such as image.png", metavar="OUTPUT", positional=True),
    CONFIG,
    OVERWRITE,
    Option(
        "size",
        "height and width in pixels (default: those of the image that was compressed)",
        integer(1),
        nargs=2,
        metavar=("H", "W"),
    ),
    Option(
        "max_seconds",
        "reject a file that would take longer to decode on one core, as estimated beforehand (default: 1.5)",
        positive,
        metavar="S",
    ),
    PRINT_CONFIG,
)


def run(chosen: Chosen) -> int:
    """Write the image to `chosen.output`."""
    from dataclasses import replace

    from siren_fastai.images import save_image
    from siren_fastai.sirn.decode import decode
    from siren_fastai.sirn.format import Limits, read

    with as_usage(f"{chosen.file}: "):
        limits = Limits() if chosen.max_seconds is None else Limits(work=1e9 * chosen.max_seconds)
        encoded = read(read_coded(chosen.file, limits.size), limits)
    if chosen.size:
        encoded = replace(encoded, height=chosen.size[0], width=chosen.size[1])
    _check_memory(encoded)
    output = check_output(chosen.output, chosen.y, chosen.file)
    with as_usage():
        save_image(decode(encoded), output)
    print(f"{output}: {encoded.height}x{encoded.width} pixels")
    return 0


def _check_memory(encoded) -> None:
    """Reject an image that memory cannot hold as floats, and with a denoiser a few times."""
    from siren_fastai.cli.devices import device_of
    from siren_fastai.cli.pictures import available_memory

    needed = 4 * (8 if encoded.denoise else 3) * encoded.height * encoded.width * encoded.channels
    spare = available_memory(device_of("cpu"))
    if spare is not None and needed > spare:
        raise CommandError(
            f"{encoded.height}x{encoded.width} pixels need about {needed / 2**30:.1f} GiB, and {spare / 2**30:.1f} "
            "are free: give a smaller --size"
        )


COMMAND = Command(
    name="decompress",
    summary="write the image that a compressed file holds",
    about="Write the image that a compressed file holds, at its own size or any other.",
    usage="FILE OUTPUT [options]",
    groups={"options": OPTIONS},
    run=run,
)

"""`siren-fastai decompress`: the image that a compressed file holds."""

from siren_fastai.cli.errors import as_usage
from siren_fastai.cli.options import Chosen, Command, Option, positive
from siren_fastai.cli.paths import check_output, read_coded
from siren_fastai.cli.shared import CONFIG, OVERWRITE, PRINT_CONFIG, SIRN_FILE, SIZE

__all__ = ["COMMAND"]

OPTIONS = (
    SIRN_FILE,
    Option("output", "the image to write, such as image.png", metavar="OUTPUT", positional=True),
    CONFIG,
    OVERWRITE,
    SIZE,
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

    from siren_fastai.cli.sizes import check_format, check_memory, output_size
    from siren_fastai.images import save_image
    from siren_fastai.sirn.decode import decode
    from siren_fastai.sirn.format import Limits, read

    with as_usage(f"{chosen.file}: "):
        limits = Limits() if chosen.max_seconds is None else Limits(work=1e9 * chosen.max_seconds)
        encoded = read(read_coded(chosen.file, limits.size), limits)
    height, width = output_size((encoded.height, encoded.width), chosen.size)
    check_memory((height, width), (8 if encoded.denoise else 3) * encoded.channels)  # a denoiser makes copies
    encoded = replace(encoded, height=height, width=width)
    output = check_output(chosen.output, chosen.y, chosen.file)
    check_format(chosen.output, (height, width))
    with as_usage():
        save_image(decode(encoded), output)
    print(f"{output}: {height}x{width} pixels")
    return 0


COMMAND = Command(
    name="decompress",
    summary="write the image that a compressed file holds",
    about="Write the image that a compressed file holds, at its own size or any other.",
    usage="FILE OUTPUT [options]",
    groups={"options": OPTIONS},
    run=run,
)

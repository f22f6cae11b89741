"""`siren-fastai inpaint`: fill the hole of a photo, by networks fitted to what is known of it or by a trained one."""

from pathlib import Path

from siren_fastai.cli.errors import CommandError
from siren_fastai.cli.options import Chosen, Command, Option, integer, number, positive
from siren_fastai.cli.shared import CONFIG, DEVICE, OVERWRITE, PRINT_CONFIG, SEED

__all__ = ["COMMAND"]

OPTIONS = (
    Option("image", "the photo: 8 bits, gray or colour, without transparent parts", metavar="IMAGE", positional=True),
    Option("output", "the image to write, as .png, .bmp or .tiff", metavar="OUTPUT", positional=True),
    CONFIG,
    Option(
        "mask",
        "an image of the same size, white where the photo is known and black in the hole (required)",
        metavar="FILE",
        required=True,
    ),
    OVERWRITE,
    Option(
        "model",
        "fill by a trained network, a .safetensors file that save_network wrote (default: by small networks that are "
        "fitted to the known pixels around the hole)",
        metavar="FILE",
    ),
    SEED,
    DEVICE,
    PRINT_CONFIG,
)
FITTED = (
    Option(
        "omega_0",
        "the greatest frequency of the first layer, in rad per 64 pixels: higher ones draw finer, and invent more "
        "(default: 5, 9 or 16, the best at known pixels next to the hole, which are hidden for a test)",
        positive,
        metavar="W",
    ),
    Option("tv", "weight of the total variation in the hole; 0 leaves it out", number, 0.02, metavar="W"),
    Option(
        "max_steps",
        "training steps for each group of holes, at most (default: as their surroundings need, 60 to 600)",
        integer(1),
        metavar="N",
    ),
)
TRAINED = (Option("flips", "average over the four mirror images: four times slower, and often a little better", None),)


def run(chosen: Chosen) -> int:
    """Write the filled image to `chosen.output`."""
    _check_together(chosen)
    from siren_fastai.cli.errors import as_usage
    from siren_fastai.cli.filling import check_exact, fill_by_model, fill_by_siren, mask_of, photo_of
    from siren_fastai.cli.paths import check_output
    from siren_fastai.fits.devices import device_of
    from siren_fastai.images import save_image

    with as_usage():
        device = device_of(chosen.device)
    check_exact(chosen.output)
    image, profile = photo_of(chosen.image)
    mask = mask_of(chosen.mask, image)
    output = check_output(chosen.output, chosen.y, chosen.image, chosen.mask, chosen.model, chosen.config_filepath)
    fill = fill_by_siren if chosen.model is None else fill_by_model
    filled, how = fill(chosen, image, mask, device)
    save_image(filled, output, **({} if profile is None else {"icc_profile": profile}))
    height, width = mask.shape
    share = 100 * float((~mask).float().mean())
    print(f"{output}: {height}x{width} pixels, {share:.3g} % filled {how}")
    return 0


def _check_together(chosen: Chosen) -> None:
    wrong = [option.name for option in (TRAINED if chosen.model is None else FITTED) if chosen.given(option.name)]
    if wrong and chosen.model is None:
        raise CommandError(f"{chosen.named(wrong[0])} needs --model: it is how a trained network is applied")
    if wrong:
        raise CommandError(f"{chosen.named(wrong[0])} is for networks that are fitted: leave it out, or --model")
    if chosen.model is not None and not Path(chosen.model).is_file():
        raise CommandError(f"--model: there is no file {chosen.model}")


COMMAND = Command(
    name="inpaint",
    summary="fill the hole of a photo",
    about="Fill the hole of a photo. Without --model no training set is needed: small networks are fitted to the known "
    "pixels around each hole and continue them, smoothly, in seconds to minutes. With --model a trained network fills "
    "it. Known pixels stay as they are, bit for bit.",
    usage="IMAGE OUTPUT --mask FILE [options]",
    groups={"options": OPTIONS, "networks that are fitted": FITTED, "with --model": TRAINED},
    run=run,
    notes="""
The output has 8 bits a channel, and as many channels as the photo; a palette becomes RGB. It keeps the photo's colour
profile and no other metadata; a photo whose EXIF tag turns it is written turned. So that known pixels stay as they are,
formats that would change them are refused: .jpg, .webp and .avif as output, and photos with 16 bits, with transparent
parts, or in CMYK. The share that is printed is how much of the fitted networks' drawing is added to the smoothest
surface through the hole's rim, chosen by the same test as omega_0; with --omega_0 there is no test, and it is 1. A
fitted network knows colours and edges around a hole, and nothing of objects: what a large hole should
show, it can't tell. Holes far from each other are fitted one by one, in a second or more each: for hundreds of specks
take --model.
""",
)

"""What `siren-fastai inpaint` reads, and how it fills: photo, mask, and the two ways to fill a hole."""

import time
import warnings
from pathlib import Path

import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from siren_fastai.cli.errors import CommandError, as_usage, warn
from siren_fastai.cli.options import Chosen
from siren_fastai.fits.image import read_image
from siren_fastai.inpainting.coordinates import siren_filling
from siren_fastai.inpainting.files import load_network
from siren_fastai.inpainting.large import fill_large
from siren_fastai.inpainting.masks import load_mask
from siren_fastai.progress import Progress

__all__ = ["check_exact", "fill_by_model", "fill_by_siren", "mask_of", "photo_of"]

EXACT = (".png", ".bmp", ".tif", ".tiff")  # formats that keep 8-bit pixels as they are
MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")  # of Pillow, that become 8-bit gray or RGB without loss if opaque


def check_exact(output: str) -> None:
    """Raises: CommandError for a format that would change known pixels."""
    suffix = Path(output).suffix.lower()
    if suffix not in EXACT:
        named = f"a {suffix} file would change known pixels" if suffix else f"{output!r} has no suffix"
        raise CommandError(f"OUTPUT must end in {', '.join(EXACT[:-1])} or {EXACT[-1]}: {named}; write a .png")


def photo_of(path: str) -> tuple[Tensor, bytes | None]:
    """The photo (h, w, c) in [0, 1] and its colour profile. Raises: CommandError for one that can't be kept exactly."""
    with as_usage(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*composited on white")  # these are refused below
        image = read_image(path, name="IMAGE")
    with Image.open(path) as picture:
        deep = any(";16" in str(tile) for tile in picture.tile)  # Pillow reads 16-bit colour as 8 bits
        opaque = not picture.has_transparency_data or picture.convert("RGBA").getchannel("A").getextrema()[0] == 255
        mode, profile = picture.mode, picture.info.get("icc_profile")
    if mode not in MODES or deep:
        found = "16 bits a channel" if deep else f"pixels of the mode {mode}"
        raise CommandError(f"IMAGE {path} has {found}, and 8 bits of gray or RGB are written: convert it first")
    if not opaque:
        raise CommandError(f"IMAGE {path}: its transparent parts would be lost: save it without transparency first")
    return image, profile


def mask_of(path: str, image: Tensor) -> Tensor:
    """The mask (h, w) of the photo. Raises: CommandError for another size, and as `load_mask`."""
    if not Path(path).is_file():
        raise CommandError(f"--mask: there is no file {path}")
    try:
        with as_usage(f"--mask {path}: "):
            return load_mask(path, tuple(image.shape[:2]))
    except Image.DecompressionBombError:
        raise CommandError(f"--mask {path}: it has far more pixels than IMAGE") from None


def fill_by_siren(chosen: Chosen, image: Tensor, mask: Tensor, device: torch.device) -> tuple[Tensor, str]:
    """The image, filled by networks that are fitted to what is known, and how."""
    line, names = Progress(), ("omega_0", "tv", "max_steps", "seed")
    options = {name: getattr(chosen, name) for name in names}
    try:
        with as_usage():
            filling = siren_filling(image, mask, device=device, progress=line.show, **options)
    finally:
        line.clear()
    found = {f"{omega_0:g}": f"{db:.2f} dB" for omega_0, db in filling.held_out.items()}
    best = found.pop(f"{filling.omega_0:g}", None)
    others = ", ".join(f"{db} with {omega_0}" for omega_0, db in found.items())
    tested = f" ({best} at known pixels that were hidden; {others})" if best else ""
    chosen = f"with omega_0 {filling.omega_0:g} and a share of {filling.share:.2f}"
    return filling.image, f"{chosen}{tested}, {filling.steps} steps in {filling.seconds:.1f} s"


def fill_by_model(chosen: Chosen, image: Tensor, mask: Tensor, device: torch.device) -> tuple[Tensor, str]:
    """The image, filled by a trained network, and how."""
    started, line = time.perf_counter(), Progress()
    with as_usage("--model: "):
        model = load_network(chosen.model)
    channels = {1: "gray", 3: "colour"}
    if model.channels != image.shape[2]:
        wanted, found = (channels.get(n, f"{n} channels") for n in (model.channels, image.shape[2]))
        raise CommandError(f"--model {chosen.model} fills {wanted} images, and IMAGE is {found}: convert it first")
    _warn_of_depth(mask, model.receptive_field)
    try:
        with as_usage():
            filled = fill_large(model.to(device), image, mask, chosen.flips, line.show)
    finally:
        line.clear()
    return filled, f"by {chosen.model} in {time.perf_counter() - started:.1f} s"


def _warn_of_depth(mask: Tensor, receptive_field: float) -> None:
    """Warn where a pixel of the hole is so far from any known one that the network sees none of them."""
    depth = float(ndimage.distance_transform_edt(~mask.numpy()).max())
    if 2 * depth > receptive_field:
        warn(
            f"the hole is up to {depth:.0f} pixels from what is known, and the network sees {receptive_field / 2:.0f} "
            "far: its middle is a guess"
        )

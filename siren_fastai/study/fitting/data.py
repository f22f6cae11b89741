"""The image of a study's fit and its samples: coordinates, order, and which pixels train."""

from collections.abc import Mapping

import skimage.data
from sklearn.datasets import load_sample_image
from torch import Tensor

from siren_fastai.coords import line_coords
from siren_fastai.coreset import coreset
from siren_fastai.data import PixelDataLoaders, PixelDL
from siren_fastai.fits.devices import device_of
from siren_fastai.fits.image import fit_to, read_image
from siren_fastai.study.fitting.settings import IMAGES, WALKS

__all__ = ["image_of", "loaders_of"]


def image_of(
    settings: Mapping,  # complete
    zoom: int = 1,  # times the size
) -> Tensor | None:  # (size, size, c) in [0, 1]
    """Return the middle square of the image; None if it has fewer pixels than `zoom` times the size asks for."""
    name = settings["image"]
    sklearn = name in ("china", "flower")
    source = load_sample_image(f"{name}.jpg") if sklearn else getattr(skimage.data, name)() if name in IMAGES else name
    image, size = read_image(source, settings["color"]), zoom * settings["size"]
    if zoom > 1 and min(image.shape[:2]) < size:
        return None
    return fit_to(image, size, "crop")


def loaders_of(
    settings: Mapping,  # complete
    image: Tensor,  # (h, w, c)
) -> PixelDataLoaders:
    """Return loaders that train as the settings say, and validate on every pixel of the image.

    The random state decides the order and which pixels are held out: two fits of one seed see the same.
    """
    walk, n_pixels = settings["coords"] in WALKS, image.shape[0] * image.shape[1]
    dls = PixelDataLoaders.from_array(
        image,
        bs=n_pixels if settings["bs"] == "full" else settings["bs"],
        coords=line_coords(image.shape[:2], settings["coords"]) if walk else settings["coords"],
        order=settings["order"],
        repeat=settings["repeat"],
        valid=settings["held_out"] or "all",
        off_grid=settings["off_grid"],
        value_range=(0.0, 1.0),
        device=device_of(settings["device"]),
    )
    return _on_coreset(dls, settings, image) if settings["coreset"] else _validated_on_all(dls, settings, image)


def _on_coreset(dls: PixelDataLoaders, settings: Mapping, image: Tensor) -> PixelDataLoaders:
    data, options = dls.train_ds, [settings[f"coreset_{name}"] for name in ("by", "clusters")]
    count = max(1, round(settings["coreset"] * len(data)))
    chosen = coreset(image, count, *options, seed=settings["seed"]).to(data.device)
    train = PixelDL(data.subset(chosen), dls.train.bs, True, repeat=settings["repeat"], device=dls.device)
    return PixelDataLoaders(train, dls.valid, device=dls.device)


def _validated_on_all(dls: PixelDataLoaders, settings: Mapping, image: Tensor) -> PixelDataLoaders:
    if not settings["held_out"]:
        return dls
    whole = loaders_of({**settings, "held_out": None, "order": "raster"}, image)
    return PixelDataLoaders(dls.train, whole.valid, device=dls.device)

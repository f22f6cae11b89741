"""The images of a study of filling as loaders, with the augmentation and the holes that settings ask for."""

from collections.abc import Mapping

from torch import Tensor

from siren_fastai.fits.devices import device_of
from siren_fastai.inpainting.data import InpaintingDataLoaders, InpaintingDataset, InpaintingDL
from siren_fastai.inpainting.sources import Sources
from siren_fastai.inpainting.views import Views
from siren_fastai.study.inpainting.images import holes_of
from siren_fastai.study.inpainting.settings import hole_sizes

__all__ = ["loaders_of"]

VIEWS = {"none": None, "shared": Views(shared=True), "per_image": Views()}


def loaders_of(
    settings: Mapping,  # complete
    images: Tensor,  # (n, 3, side, side) uint8
) -> InpaintingDataLoaders:
    """Return loaders of which each epoch has one window of each image; validation is the study's own."""
    device, size, kind = device_of(settings["device"]), settings["size"], settings["augment"]
    if kind == "none":
        at = (images.shape[-1] - size) // 2
        images = images[:, :, at : at + size, at : at + size]
    holes = holes_of(settings, hole_sizes(settings)[0])
    data = InpaintingDataset(Sources(list(images)), size, holes, VIEWS[kind], per_image=1, seed=settings["seed"])
    data = data.to_(device)
    loaders = (InpaintingDL(data, settings["bs"], shuffle=shuffle, device=device) for shuffle in (True, False))
    return InpaintingDataLoaders(*loaders, device=device)

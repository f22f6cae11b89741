"""`inpainting_learner`: a fastai Learner of a network that fills holes, in photos of any size."""

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastcore.foundation import L
from fastcore.meta import delegates
from torch import Tensor, nn

from siren_fastai.inpainting.files import save_network
from siren_fastai.inpainting.fill import evaluating
from siren_fastai.inpainting.large import fill_large
from siren_fastai.inpainting.losses import InpaintingLoss
from siren_fastai.inpainting.metrics import HolePSNR
from siren_fastai.inpainting.networks import unet
from siren_fastai.learner import IndexedLearner
from siren_fastai.optimizers import adam
from siren_fastai.processes import unwrapped

__all__ = ["InpaintingLearner", "inpainting_learner"]


class InpaintingLearner(IndexedLearner):
    """A fastai Learner of a network that fills holes: `fill` photos of any size, `save_network` for those who do."""

    def fill(
        self,
        image,  # as for `load_image`: a file, a Pillow image, an array or a tensor, of any size; or a list of them
        mask,  # as for `load_mask`, white, 1 or True being known; for a list of images one for each
        flips: bool = False,  # average the fillings of the four mirror images: slower by 4, and a little better
    ) -> Tensor | list[Tensor]:  # (h, w, c) float32 in [0, 1] on the CPU
        """Fill the hole of one image or of several; known pixels stay as they are, bit for bit.

        Groups of holes in a large photo are filled one after the other, each from its surroundings.
        Raises: ValueError unless there is one mask for each image, and as `fill_image`.
        """
        model = unwrapped(self.model)
        if not isinstance(image, (list, tuple)):
            return fill_large(model, image, mask, flips)
        if not isinstance(mask, (list, tuple)) or len(mask) != len(image):
            found = len(mask) if isinstance(mask, (list, tuple)) else f"one {type(mask).__name__}"
            raise ValueError(f"`mask` must be a list of one for each of the {len(image)} images, got {found}")
        return [fill_large(model, x, m, flips) for x, m in zip(image, mask, strict=True)]

    @delegates(save_network, but=["model"])
    def save_network(self, path: str | os.PathLike, **kwargs) -> Path:
        """Write the network to a file for `load_network` and `siren-fastai inpaint --model`. As `save_network`."""
        return save_network(unwrapped(self.model), path, **kwargs)

    def show_results(
        self,
        ds_idx: int = 1,  # 0: images of training, 1: of validation
        dl=None,  # a loader instead of `ds_idx`
        max_n: int = 9,  # images, evenly spread over the data
        shuffle: bool = False,  # draw them at random instead
        **kwargs,  # as for `show_pictures`
    ):
        """Draw targets, inputs, filled images and absolute errors.

        Raises: ValueError if there are no images, as in a learner that was exported and loaded.
        """
        dl = self.dls[ds_idx] if dl is None else dl
        n = len(dl.dataset)
        if not n:
            raise ValueError(
                "there are no images to compare with, as an exported learner keeps none: "
                "`learn.show_results(dl=learn.dls.test_dl(photos))` draws those of yours"
            )
        count = min(max_n, n)
        index = torch.randperm(n)[:count] if shuffle else torch.arange(count) * n // count
        batch = dl.dataset[index]
        with evaluating(unwrapped(self.model)) as first:
            out = unwrapped(self.model)(*(x.to(first.device, first.dtype) for x in batch[:2]))
        return dl.show_results(batch, out, max_n=count, **kwargs)

    def predict(self, item, rm_type_tfms=None, with_input: bool = False):
        """fastai's, which has no mask. Raises: TypeError that says what to call."""
        raise TypeError("an image alone doesn't say where its hole is: use `learn.fill(image, mask)`")

    def tta(self, *args, **kwargs):
        """fastai's average over augmented images. Raises: TypeError that says what to call."""
        raise TypeError(
            "`tta` would average over other windows of the photos: use `learn.fill(image, mask, flips=True)`"
        )


@delegates(Learner.__init__, but=["loss_func"])
def inpainting_learner(
    dls: DataLoaders,  # as from `inpainting_dataloaders`
    model: nn.Module | None = None,  # called with image and mask, as `unet(...)`; None is that for the images' channels
    loss: Callable | None = None,  # of prediction, target and mask; None is `InpaintingLoss()`
    metrics=None,  # of prediction, target and mask; None is `HolePSNR()`, the mean of dB over images
    opt_func=adam,  # one of `siren_fastai.optimizers`, or any of fastai's
    lr: float = 1e-3,  # the default of `fit_one_cycle`
    moms: tuple[float, float, float] = (0.9, 0.8, 0.9),  # momentum at the start, the peak and the end of one cycle
    wd: float = 0.0,  # weight decay
    cbs=None,  # further callbacks, such as `TrainingWheels()`
    **kwargs,
) -> InpaintingLearner:
    """A Learner of a network that fills holes: `learn.fit_one_cycle(20)`, then `learn.fill(photo, mask)`.

    Raises: ValueError for a model that was built for other channels or another size than the images have; TypeError
    for loaders of anything but images with masks. Warns of holes that are larger than the network sees.
    """
    if getattr(dls, "n_inp", None) != 2 or not hasattr(dls.train_ds, "shape"):
        raise TypeError(f"`dls` must be as from `inpainting_dataloaders`, got {type(dls).__name__}")
    channels, *size = dls.train_ds.shape
    model = unet(channels=channels) if model is None else model
    check_fits(model, channels, size)
    warn_of_holes(model, dls.train_ds.holes)
    loss, metrics = InpaintingLoss() if loss is None else loss, HolePSNR() if metrics is None else metrics
    options = dict(opt_func=opt_func, lr=lr, moms=moms, wd=wd, metrics=metrics, cbs=L(cbs), **kwargs)
    return InpaintingLearner(dls, model, loss_func=loss, **options)


def check_fits(
    model: nn.Module,  # an `InpaintingNetwork`; others aren't checked
    channels: int,  # of the images
    size: tuple[int, int],  # (height, width) of the images
) -> None:
    """Raise ValueError for a network that was built for other images."""
    wanted = getattr(model, "channels", channels)
    if wanted != channels:
        raise ValueError(
            f"the network was built for images of {wanted} channels, and these have {channels}: build it with "
            f"`channels={channels}`, or load the images with `channels={wanted}`"
        )
    fixed = getattr(model, "settings", {}).get("size")
    if fixed is not None and tuple(fixed) != tuple(size):
        raise ValueError(
            f"the network was built for images of {fixed[0]}x{fixed[1]} pixels, and these have {size[0]}x{size[1]}: "
            "build it, or load the images, with that `size`"
        )


def warn_of_holes(
    model: nn.Module,  # an `InpaintingNetwork`; others aren't checked
    holes,  # such as `Rectangles()`; those that don't state their `largest` aren't checked
) -> None:
    """Warn of pixels in the middle of large holes that no known pixel influences: they can only get a mean colour."""
    seen, largest = getattr(model, "receptive_field", math.inf), getattr(holes, "largest", 0)
    blind = getattr(model, "settings", {}).get("prefill") in ("black", "mean")  # others bring known pixels to each
    if blind and largest >= seen:
        warnings.warn(
            f"holes are up to {largest} pixels wide, but a pixel of the network depends on {seen} x {seen} only: use "
            'more `widths`, `dilation=(2, 4, 8)`, attention, or `prefill="smooth"`',
            stacklevel=3,
        )

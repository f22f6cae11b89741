"""Photos with holes as fastai DataLoaders: what trains, what validates, and what is kept apart for the test."""

import warnings
import zlib

import torch
from fastai.data.core import DataLoaders
from fastai.torch_core import TensorImage, default_device
from fastcore.foundation import L
from torch import Tensor

from siren_fastai.data.indexed import IndexedDL, checked_count
from siren_fastai.datasets.split import group_folds, split_groups
from siren_fastai.error_maps import absolute_error
from siren_fastai.figures import mosaic, show_pictures
from siren_fastai.inpainting.dataset import InpaintingDataset
from siren_fastai.inpainting.masks import Rectangles, composite
from siren_fastai.inpainting.sources import Sources
from siren_fastai.inpainting.views import Views

__all__ = ["InpaintingDL", "InpaintingDataLoaders", "InpaintingDataset", "inpainting_dataloaders"]

AUGMENTED = Views()


class InpaintingDL(IndexedDL):
    """Batches of an `InpaintingDataset`. Each process makes its own part of a batch only.

    A loader that shuffles counts epochs: after a complete pass, the dataset's next one is drawn. The count goes on in
    further fits, and with `lr_find`; `show_batch`, validation and predictions don't advance it.
    """

    def after_iter(self) -> None:
        super().after_iter()
        if self.shuffle:
            self.dataset.epoch += 1

    def show_batch(self, b=None, max_n: int = 9, show: bool = True, **kwargs):
        """Draw images with their holes in gray, next to their targets; `figsize` and others as for `show_pictures`."""
        image, mask, target, _ = (x[:max_n].detach().float().cpu() for x in (self.one_batch() if b is None else b))
        return show_pictures({"input": mosaic(_with_gray_holes(image, mask)), "target": mosaic(target)}, **kwargs)

    def show_results(self, b, out: Tensor, max_n: int = 9, show: bool = True, **kwargs):
        """Draw target, input, the filled images, their values clamped to [0, 1], and the absolute error.

        With `show=False`, nothing is drawn, and what fastai's loggers expect is returned: input, target, and for each
        image the pair of both and the output.
        """
        image, mask, target, _, out = (x[:max_n].detach().float().cpu() for x in (*b, out))
        filled = composite(out.clamp(0, 1), target, mask)
        if not show:
            image, target, filled = map(TensorImage, (image, target, filled))
            return image, target, L(zip(image, target, strict=True)), L((x,) for x in filled)
        panels = {"target": mosaic(target), "input": mosaic(_with_gray_holes(image, mask)), "filled": mosaic(filled)}
        panels["error"] = absolute_error(panels["filled"], panels["target"])
        return show_pictures(panels, **kwargs)


def _with_gray_holes(image: Tensor, mask: Tensor) -> Tensor:
    """The images with nan in their holes, which is drawn gray, so that they can't be taken for something black."""
    return image.masked_fill(mask == 0, torch.nan)


class InpaintingDataLoaders(DataLoaders):
    """fastai DataLoaders of photos with holes: `train` is shuffled and drawn again each epoch, `valid` is fixed.

    `test_sources` are the photos kept apart, which nothing here trains on or validates with: `dls.test_dl()`.
    """

    test_sources: Sources | None = None
    shrink: int | None = None  # as for `inpainting_dataloaders`: photos for `test_dl` are shrunk alike

    def __repr__(self) -> str:
        parts = "".join(f"\n  {name}: {dl!r}" for name, dl in zip(("train", "valid"), self.loaders, strict=False))
        kept = "" if self.test_sources is None else f"\n  test: {self.test_sources!r}"
        return f"{type(self).__name__} on {self.device}{parts}{kept}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(c, height, width) of the images in a batch."""
        return self.train_ds.shape

    def described(self) -> str:
        """What was loaded, in a few lines: photos, samples, and the bytes of photos and of a batch."""
        lines = [
            f"{name}: {dl.dataset.sources.described()}, {len(dl.dataset)} samples per epoch"
            for name, dl in zip(("train", "valid"), self.loaders, strict=False)
        ]
        lines += [] if self.test_sources is None else [f"test: {self.test_sources.described()}"]
        bs, (c, h, w) = self.train.bs, self.image_shape
        return "\n".join([*lines, f"batches of {bs} images of {h}x{w}, {4 * bs * (2 * c + 1) * h * w / 1e6:.1f} MB"])

    def test_dl(
        self,
        test_items=None,  # photos, as for `read_images`, shrunk as those of training; None are those kept apart
        holes=None,  # other holes than those of validation
        per_image: int | None = None,  # samples per photo; None is as in validation
        seed: int | None = None,  # of windows and holes; None is as in validation
        **kwargs,
    ) -> InpaintingDL:
        """A loader of other photos, fixed as validation is, for `learn.validate(dl=...)` or `learn.get_preds(dl=...)`.

        Raises: ValueError if no photos were kept apart, and as `InpaintingDataset`.
        """
        if test_items is None and self.test_sources is None:
            raise ValueError("no photos were kept apart: give `test_items`, or load with `test=0.2`")
        sources = self.test_sources if test_items is None else test_items
        sources = Sources.read(sources, self.shrink, self.valid_ds.sources.channels)
        changes = {"holes": holes, "per_image": per_image, "seed": seed}
        data = self.valid_ds.like(sources, **{name: x for name, x in changes.items() if x is not None})
        return self.valid.new(data.to_(self.device), **kwargs)


def inpainting_dataloaders(
    source,  # photos of any sizes: a folder, a list of files, Pillow images or arrays, one array, or `Sources`
    size: int | tuple[int, int] = 128,  # pixels per side of what the network sees, or (height, width)
    holes=None,  # such as `Rectangles(1, 3, side=(8, 24))`, which is None
    bs: int = 16,  # images per training batch, at most
    valid=None,  # the share of the photos that validates, or n for every n-th; or photos; None: a fifth, at least one
    test: int | float | None = None,  # the share that is kept apart; None is a fifth with `fold`, else nothing
    fold: tuple[int, int] | None = None,  # (i, k): fold i of k validates instead of `valid`, see `group_folds`
    groups=None,  # (n,) integers: photos with equal ones stay together; None is each on its own
    views: Views | None = AUGMENTED,  # how training shows photos; None is windows alone
    per_image: int = 8,  # training samples per photo and epoch
    valid_per_image: int = 4,  # windows per photo in validation
    valid_holes=None,  # holes in validation; None is as in training
    shrink: int | None = None,  # photos whose shorter side is longer are shrunk to it
    channels: int | None = None,  # 1 for gray, 3 for RGB; None if all have as many
    seed: int = 0,  # of views and holes; the order is drawn by `random`, as elsewhere in fastai
    valid_bs: int | None = None,  # images per validation batch, at most; None is twice `bs`
    device: torch.device | str | None = None,  # where the photos live; None is fastai's default device
    path=".",  # where fastai writes models and exports
    verbose: bool = True,  # print what was loaded
) -> InpaintingDataLoaders:
    """DataLoaders of photos with holes, which are split by photo: no window of one is seen in training and validation.

    Photos live on the device in 8 bits. Training draws views and holes for each image and epoch apart; validation has
    the same windows and holes every time, pixel by pixel. Batches are as in `InpaintingDataset`.
    Warns of equal photos in two of the parts.
    Raises: ValueError for photos smaller than `size`, too few of them to split, holes that don't fit; as `read_images`.
    """
    sources = Sources.read(source, shrink, channels)
    parts = _parts(sources, valid, test, fold, groups, shrink)
    _warn_of_leaks(parts)
    holes = Rectangles() if holes is None else holes
    train = InpaintingDataset(parts[0], size, holes, views, per_image, seed)
    held_out = InpaintingDataset(parts[1], size, valid_holes or holes, None, valid_per_image, seed)
    device = default_device() if device is None else torch.device(device)
    bs = checked_count("bs", bs)
    dls = InpaintingDataLoaders(
        InpaintingDL(train.to_(device), bs, shuffle=True, device=device),
        InpaintingDL(held_out.to_(device), 2 * bs if valid_bs is None else valid_bs, device=device),
        path=path,
        device=device,
    )
    dls.test_sources, dls.shrink = parts[2], shrink
    if verbose:
        print(dls.described())
    return dls


def _parts(sources: Sources, valid, test, fold, groups, shrink) -> tuple[Sources, Sources, Sources | None]:
    """The photos that train, validate and test."""
    groups = torch.arange(len(sources)) if groups is None else torch.as_tensor(groups)
    if groups.shape != (len(sources),):
        raise ValueError(f"`groups` must be ({len(sources)},), one for each photo, got {tuple(groups.shape)}")
    if fold is not None:
        if valid is not None or not isinstance(fold, (tuple, list)) or len(fold) != 2:
            raise ValueError(f"`fold` must be (i, k), instead of `valid`, got {fold!r} and `valid`={valid!r}")
        index = group_folds(groups, fold[1], fold[0], 0.2 if test is None else test)
        return *(sources.subset(part) for part in index[:2]), sources.subset(index[2]) if len(index[2]) else None
    rest, kept = (torch.arange(len(sources)), None) if not test else split_groups(groups, test, "test")
    kept = None if kept is None else sources.subset(kept)
    if valid is None:
        valid = min(5, max(2, len(groups[rest].unique())))
    if not isinstance(valid, (int, float)):
        return sources.subset(rest), Sources.read(valid, shrink, sources.channels), kept
    train, held_out = split_groups(groups[rest], valid)
    return sources.subset(rest[train]), sources.subset(rest[held_out]), kept


def _warn_of_leaks(parts: tuple[Sources | None, ...]) -> None:
    """Warn if one photo trains and validates, or is kept apart too: scores would say how well it was memorised."""
    seen = {}
    for part, sources in enumerate(parts):
        for i in range(0 if sources is None else len(sources)):
            first = seen.setdefault(zlib.crc32(sources[i].cpu().numpy()), (part, sources.names[i]))
            if first[0] != part:
                warnings.warn(
                    f"{first[1]} and {sources.names[i]} are the same photo, and one of them trains or validates while "
                    "the other is to judge that: leave one out, or give both the same number in `groups`",
                    stacklevel=3,
                )
                return

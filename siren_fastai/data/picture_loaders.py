"""A collection of images as fastai DataLoaders: what is held out, and what training draws for each image."""

from collections.abc import Sequence

import torch
from fastai.data.core import DataLoaders
from fastai.torch_core import default_device
from fastcore.meta import delegates
from torch import Tensor

from siren_fastai.data.indexed import checked_count
from siren_fastai.data.picture_mixture import PictureMixture
from siren_fastai.data.pictures import PictureDataset, PictureDL
from siren_fastai.datasets.augment import Augment
from siren_fastai.datasets.folder import read_images, to_gray
from siren_fastai.datasets.split import EVERY, split_groups

__all__ = ["VALID_BS", "PictureDataLoaders"]

VALID_BS = 256  # images per validation batch where the user gives neither `valid_bs` nor a larger `bs`


class PictureDataLoaders(DataLoaders):
    """fastai DataLoaders of a collection of images: `train` is shuffled and augmented, `valid` fixed and as it is."""

    def __repr__(self) -> str:
        parts = "".join(f"\n  {name}: {dl!r}" for name, dl in zip(("train", "valid"), self.loaders, strict=False))
        return f"{type(self).__name__} on {self.device}{parts}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(c, height, width) of the images in a batch."""
        return self.train_ds.shape

    @classmethod
    def from_images(
        cls,
        source,  # (n, c, h, w) uint8, or what `read_images` reads: a folder, a list of files, an array
        groups: Tensor | None = None,  # (n,) what each image comes from; None is each from itself
        bs: int = 64,  # images per training batch, at most
        valid: int | float | Tensor = EVERY,  # every n-th group validates, or a share of them; or images of their own
        size: int | tuple[int, int] | None = None,  # the images' pixels per side, or (height, width), as `read_images`
        crop: int | tuple[int, int] | None = None,  # of each image: random in training, the middle in validation
        shift: int = 0,  # pixels that a training image may move, black behind it
        flip: bool | tuple[float, float] = False,  # True is (.4, .2), the probabilities of mirroring and upside down
        gray: bool = False,  # one channel, .299 R + .587 G + .114 B
        channels: int | None = None,  # 1 or 3, as for `read_images`; None is as the images are
        fit: str = "crop",  # how an image is brought to `size`, as for `read_images`
        valid_bs: int | None = None,  # images per validation batch, at most; None is 256, or `bs` if larger
        device: torch.device | str | None = None,  # where the images live; None is fastai's default device
        path=".",  # where fastai writes models and exports
    ) -> "PictureDataLoaders":
        """From images of one size, or a folder of any: they live on the device in 8 bits, and batches are in [0, 1].

        Raises: as `read_images`, `split_groups` and `Augment`.
        """
        crop = _pair("crop", crop)
        read = dict(size=_pair("size", size), channels=1 if gray else channels, fit=fit)
        images = _as_images(source, **read)
        if isinstance(valid, (int, float)):
            groups = torch.arange(len(images)) if groups is None else torch.as_tensor(groups)
            if groups.shape != images.shape[:1]:
                raise ValueError(f"`groups` must be ({len(images)},), one for each image, got {tuple(groups.shape)}")
            train, held_out = (images[index] for index in split_groups(groups, valid))
        else:
            train, held_out = images, _as_images(valid, **{**read, "size": tuple(images.shape[2:])})
        train, held_out = PictureDataset(train, _augment(flip, shift, crop), crop), PictureDataset(held_out, None, crop)
        return cls.from_datasets(train, held_out, bs, valid_bs, device, path)

    @classmethod
    def from_datasets(
        cls,
        train: PictureDataset,  # what training sees
        valid: PictureDataset,  # what validation sees
        bs: int = 64,  # images per training batch, at most
        valid_bs: int | None = None,  # images per validation batch, at most; None is 256, or `bs` if larger
        device: torch.device | str | None = None,  # where the images live; None is fastai's default device
        path=".",  # where fastai writes models and exports
    ) -> "PictureDataLoaders":
        """From datasets, which are moved to the device. Raises: ValueError if their batches differ in shape."""
        bs, valid_bs = checked_count("bs", bs), None if valid_bs is None else checked_count("valid_bs", valid_bs)
        if train.shape != valid.shape:
            raise ValueError(
                f"training and validation images must have one shape, got {train.shape} and {valid.shape}: choose "
                "`channels` and `size`"
            )
        device = default_device() if device is None else torch.device(device)
        return cls(
            PictureDL(train.to_(device), bs, shuffle=True, device=device),
            PictureDL(valid.to_(device), max(bs, VALID_BS) if valid_bs is None else valid_bs, device=device),
            path=path,
            device=device,
        )

    @classmethod
    @delegates(from_datasets.__func__)
    def mixed(
        cls,
        collections: Sequence["PictureDataLoaders"],  # whose batches have one shape
        bs: int = 64,  # images per training batch, at most
        **kwargs,
    ) -> "PictureDataLoaders":
        """The images of several collections in shuffled batches; each keeps its augmentation and its split."""
        train, valid = (PictureMixture([dls[i].dataset for dls in collections]) for i in range(2))
        return cls.from_datasets(train, valid, bs, **kwargs)

    def test_dl(self, test_items, **kwargs) -> PictureDL:
        """A loader of other images, in their order and as they are, for `learn.get_preds(dl=...)`.

        They are whatever `read_images` reads, brought to the size and the channels of the training images; or a
        `PictureDataset`, such as `dls.train_ds`, without its augmentation.
        """
        data = self.train_ds
        if isinstance(test_items, PictureDataset):
            test_items = test_items.with_augment(None)
        else:
            images = _as_images(test_items, data.size, data.n_channels)
            test_items = PictureDataset(images, None, data.crop).to_(self.device)
        return self.valid.new(test_items, **kwargs)


def _as_images(source, size: tuple[int, int] | None, channels: int | None, fit: str = "crop") -> Tensor:
    """Images (n, c, h, w) uint8; a tensor that already is so isn't read again."""
    ready = isinstance(source, Tensor) and source.dtype == torch.uint8 and source.dim() == 4
    if not ready or source.shape[1] not in (1, 3) or size not in (None, tuple(source.shape[2:])):
        return read_images(source, size, channels, fit)
    images = to_gray(source) if channels == 1 else source
    return images.repeat(1, 3, 1, 1) if channels == 3 and images.shape[1] == 1 else images


def _pair(name: str, size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """(height, width). Raises: ValueError that names the option."""
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise ValueError(f"`{name}` must be an integer of 1 or more pixels or (height, width), got {size!r}")
    return pair


def _augment(flip, shift: int, crop) -> Augment | None:
    """What training draws; None if there is nothing to draw."""
    chances = {True: (0.4, 0.2), False: (0.0, 0.0)}[flip] if isinstance(flip, bool) else flip
    if not isinstance(chances, Sequence) or len(chances) != 2:
        raise ValueError(f"`flip` must be True, False or two probabilities, got {flip!r}")
    return Augment(*chances, shift, crop) if any(chances) or shift or crop is not None else None

"""Photos of any sizes on one device, in 8 bits, of which rectangular patches are taken batch by batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from siren_fastai.datasets.folder import iterate_images
from siren_fastai.images import resize_image, to_uint8

__all__ = ["Sources"]


class Sources:
    """Images (c, h, w) uint8 of one number of channels, each of its own size, one after the other in a flat tensor.

    A flat tensor lets a batch of patches of many images be copied in one operation, and no image is padded.
    Raises: ValueError without images, or for images of different numbers of channels.
    """

    def __init__(
        self,
        images: Sequence[Tensor],  # (c, h, w) uint8
        names: Sequence[str] | None = None,  # of the images, for messages; None counts them
    ):
        self.names = [f"image {i}" for i in range(len(images))] if names is None else list(names)
        kinds = {(image.dim(), image.dtype, *image.shape[:1]) for image in images}
        if len(kinds) != 1 or kinds != {(3, torch.uint8, images[0].shape[0])}:
            raise ValueError(f"`images` must be (c, h, w) uint8 with one c, got {sorted(map(str, kinds)) or 'none'}")
        self.channels = len(images[0])
        self.sizes = torch.tensor([image.shape[1:] for image in images])
        self.starts = torch.tensor([0] + [image.numel() for image in images[:-1]]).cumsum(0)
        self.flat = torch.cat([image.reshape(-1) for image in images])

    @classmethod
    def read(
        cls,
        source,  # as for `read_images`: a folder, a list of files, Pillow images or arrays, one array; or `Sources`
        shrink: int | None = None,  # photos whose shorter side is longer are shrunk to it, without aliasing
        channels: int | None = None,  # 1 for gray, 3 for RGB; None if all have as many
    ) -> "Sources":
        """Read images of any sizes, in the order of their paths.

        Raises: as `read_images`, and ValueError for `Sources` of other `channels`.
        """
        if isinstance(source, Sources):
            return source._shrunk_to(shrink, channels)
        names, images = [], []
        for name, image in iterate_images(source, channels=channels):
            names.append(name)
            images.append(torch.from_numpy(np.ascontiguousarray(_shrunk(image, shrink).transpose(2, 0, 1))))
        return cls(images, names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Tensor:
        """Image `i`, (c, h, w) uint8."""
        start, (h, w) = int(self.starts[i]), self.sizes[i].tolist()
        return self.flat[start : start + self.channels * h * w].view(self.channels, h, w)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.described()})"

    def described(self) -> str:
        """Number, sizes and memory of the images, in words."""
        if not len(self):
            return "no images"
        low, high = ("x".join(str(int(n)) for n in pair) for pair in (self.sizes.amin(0), self.sizes.amax(0)))
        sizes = low if low == high else f"{low} to {high}"
        one = "1 image" if len(self) == 1 else f"{len(self)} images"
        return f"{one} of {sizes} pixels, {self.channels} channels, {self.nbytes / 1e6:.1f} MB on {self.device}"

    @property
    def device(self) -> torch.device:
        return self.flat.device

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels."""
        return self.channels * int(self.sizes.prod(1).sum())

    def check_holds(
        self,
        size: tuple[int, int],  # (height, width) in pixels
    ) -> None:
        """Raise ValueError that names an image which is smaller than `size`."""
        small = (self.sizes < torch.tensor(size, device=self.device)).any(1).nonzero()[:, 0].tolist()
        if small:
            h, w = self.sizes[small[0]].tolist()
            more = f" ({len(small)} of {len(self)} images are)" if len(small) > 1 else ""
            raise ValueError(
                f"{self.names[small[0]]} has {h}x{w} pixels, which is smaller than `size` {size[0]}x{size[1]}{more}: "
                "leave it out, or choose a smaller `size`"
            )

    def patches(
        self,
        index: Tensor,  # (m,) of images
        top: Tensor,  # (m,) int64
        left: Tensor,  # (m,) int64, with the patch's width inside the image, or 0
        size: tuple[int, int],  # (height, width) of the patches
    ) -> Tensor:  # (m, c, height, width) uint8
        """One patch of each image at `index`. What lies below or right of an image are other pixels of the tensor."""
        height, width = size
        missing = self.nbytes + width - len(self.flat)
        if missing > 0:  # a run may go on behind the last image
            self.flat = F.pad(self.flat, [0, missing])
        h, w = self.sizes[index].unbind(1)
        rows = (top[:, None] + torch.arange(height, device=self.device)).minimum(h[:, None] - 1)
        planes = self.starts[index][:, None] + torch.arange(self.channels, device=self.device) * (h * w)[:, None]
        starts = planes[:, :, None] + (rows * w[:, None] + left[:, None])[:, None]
        runs = self.flat.as_strided((len(self.flat) - width + 1, width), (1, 1))  # every run of `width` bytes
        return runs.index_select(0, starts.flatten()).view(len(index), self.channels, height, width)

    def subset(
        self,
        index: Sequence[int] | Tensor,  # of images
    ) -> "Sources":
        """Some of the images, copied."""
        index = [int(i) for i in index]
        return type(self)([self[i] for i in index], [self.names[i] for i in index])

    def empty(self) -> "Sources":
        """None of the images, but their number of channels."""
        empty = object.__new__(type(self))
        vars(empty).update(
            vars(self), names=[], sizes=self.sizes[:0], starts=self.starts[:0], flat=self.flat[:0].clone()
        )
        return empty

    def _shrunk_to(self, shrink: int | None, channels: int | None) -> "Sources":
        """Itself, or a copy if there is something to shrink."""
        if channels not in (None, self.channels):
            raise ValueError(f"these `Sources` have {self.channels} channels, got `channels`={channels}: read them so")
        if shrink is None or bool((self.sizes.amin(1) <= shrink).all()):
            return self
        images = [_shrunk(self[i].permute(1, 2, 0).cpu().numpy(), shrink) for i in range(len(self))]
        return type(self)([torch.from_numpy(image).permute(2, 0, 1) for image in images], self.names)

    def to_(self, device) -> "Sources":
        """Move the images to `device`, in place."""
        self.flat, self.starts, self.sizes = (x.to(device) for x in (self.flat, self.starts, self.sizes))
        return self


def _shrunk(image: np.ndarray, side: int | None) -> np.ndarray:
    """The image (h, w, c) uint8, its shorter side no longer than `side`."""
    if side is None or min(image.shape[:2]) <= side:
        return image
    return to_uint8(resize_image(torch.from_numpy(image).float() / 255, side))

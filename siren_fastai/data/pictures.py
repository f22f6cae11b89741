"""Images on one device: batches in [0, 1], each image augmented by itself, whose target is the image."""

from dataclasses import replace

import torch
from fastai.torch_core import TensorImage
from fastcore.foundation import L
from torch import Tensor, nn

from siren_fastai.data.indexed import IndexedDL
from siren_fastai.data.share import batch_size
from siren_fastai.datasets.augment import Augment, crop_center, take_windows, window_size
from siren_fastai.error_maps import absolute_error
from siren_fastai.figures import mosaic, show_pictures

__all__ = ["PictureDL", "PictureDataset"]


class PictureDataset:
    """Images (n, c, h, w) uint8 on one device. Indexed with a slice or an index tensor, the batch `(images, images)`.

    A batch is float32 in [0, 1], (m, c, *crop): the middle of each image, or, with `draws` of `augment`, a window of
    it. Input and target are the same tensor.
    Raises: TypeError unless the images are uint8; ValueError for other shapes or a `crop` that doesn't fit.
    """

    n_inp = 1  # fastai: how many items of a batch are inputs
    value_range = (0.0, 1.0)

    def __init__(
        self,
        images: Tensor,  # (n, c, h, w) uint8
        augment: Augment | None = None,  # what a training loader draws for each image
        crop: tuple[int, int] | None = None,  # (height, width) of the images in a batch; None is all of them
    ):
        if images.dtype != torch.uint8 or images.dim() != 4:
            raise TypeError(f"`images` must be (n, c, h, w) uint8, got {tuple(images.shape)} of {images.dtype}")
        self.images, self.loss_func = images, nn.L1Loss()
        self.crop = window_size(self.size, crop if augment is None else augment.crop or crop)
        self.augment = None if augment is None else replace(augment, crop=self.crop)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index) -> tuple[Tensor, Tensor]:
        return self.batch(index)

    def __repr__(self) -> str:
        size, crop = ("x".join(map(str, x)) for x in (self.size, self.crop))
        parts = f"{len(self)} images of {size}, {self.n_channels} channels" + f", crop={crop}" * (size != crop)
        return f"{type(self).__name__}({parts}, augment={self.augment}, {self.device})"

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def n_channels(self) -> int:
        return self.images.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the stored images."""
        return tuple(self.images.shape[2:])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, height, width) of the images in a batch."""
        return self.n_channels, *self.crop

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """What `augment` draws for `n` images, (n, 4)."""
        return self.augment.draw(n, generator)

    def batch(self, index: slice | Tensor, draws: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The images at `index`, each as it was drawn, or their middles without `draws`; twice the same tensor."""
        images = self.take(index, draws).float().div_(255)
        return images, images

    def take(self, index: slice | Tensor, draws: Tensor | None = None) -> Tensor:
        """As `batch`, in 8 bits."""
        if draws is None:
            images = self.images[index] if isinstance(index, slice) else self.images.index_select(0, index)
            return crop_center(images, self.crop)
        index = torch.arange(len(self), device=self.device)[index] if isinstance(index, slice) else index
        return take_windows(self.images, index, self.augment.windows(draws, self.size), self.crop, self.augment.shift)

    def checksums(self) -> Tensor:
        """A number for each image, (n,) int64, by which processes compare what they hold."""
        return self.images.flatten(1).sum(1, dtype=torch.int64)

    def with_augment(self, augment: Augment | None) -> "PictureDataset":
        """The same images with another augmentation."""
        return type(self)(self.images, augment, self.crop)

    def new_empty(self) -> "PictureDataset":
        """The same dataset without images: what `learn.export` keeps."""
        return type(self)(self.images[:0].clone(), self.augment, self.crop)

    def to_(self, device) -> "PictureDataset":
        """Move the images to `device`, in place."""
        self.images = self.images.to(device)
        return self


class PictureDL(IndexedDL):
    """Batches of a `PictureDataset`. What augments an image is drawn for it alone, by the loader's `rng`."""

    def do_batch(self, b) -> tuple[Tensor, Tensor]:
        index, data = self.before_batch(b), self.dataset
        if data.augment is None:
            return data.batch(self.own_part(index))
        draws = data.draw(batch_size(index), self.device_generator())  # of all processes, as one would draw them
        return data.batch(self.own_part(index), self.share.of(draws))

    def show_batch(self, b=None, max_n: int = 16, show: bool = True, **kwargs):
        """Draw the images of a batch in one picture; `figsize` and others as for `show_pictures`."""
        images = (self.one_batch() if b is None else b)[0]
        return show_pictures({"batch": mosaic(images[:max_n])}, **kwargs)

    def show_results(self, b, out: Tensor, max_n: int = 16, show: bool = True, **kwargs):
        """Draw the images of the batch `b`, their reconstructions `out`, clamped to [0, 1], and the absolute error.

        With `show=False`, nothing is drawn, and what fastai's loggers expect is returned: input, target, and for each
        image the pair of both and the output.
        """
        if not show:
            x, y, out = (TensorImage(images[:max_n].detach().float().cpu().clamp(0, 1)) for images in (*b, out))
            return x, y, L(zip(x, y, strict=True)), L((image,) for image in out)
        target, reconstruction = (mosaic(x[:max_n].detach().float().cpu()) for x in (b[0], out))
        reconstruction = reconstruction.clamp(0, 1)
        error = absolute_error(reconstruction, target)
        return show_pictures({"target": target, "reconstruction": reconstruction, "error": error}, **kwargs)

"""Several collections of images as one, each with its own size and augmentation, for batches of one shape."""

from collections.abc import Sequence

import torch
from torch import Tensor

from siren_fastai.data.pictures import PictureDataset
from siren_fastai.datasets.augment import Augment

__all__ = ["PictureMixture"]


class PictureMixture(PictureDataset):
    """The images of several datasets, one after the other. Each keeps its size in storage and its augmentation.

    Raises: ValueError unless their batches have one shape.
    """

    def __init__(self, parts: Sequence[PictureDataset]):
        shapes = [part.shape for part in parts]
        if not parts or any(shape != shapes[0] for shape in shapes):
            raise ValueError(
                f"collections that are mixed must give batches of one shape, got {shapes}: use `crop`, `gray`"
            )
        self.parts, self.crop, self.loss_func = list(parts), parts[0].crop, parts[0].loss_func
        self.augment = next((part.augment for part in parts if part.augment), None)  # whose draws serve all

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.parts))})"

    @property
    def device(self) -> torch.device:
        return self.parts[0].device

    @property
    def n_channels(self) -> int:
        return self.parts[0].n_channels

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a batch's images, as those that are stored have several."""
        return self.crop

    def take(self, index: slice | Tensor, draws: Tensor | None = None) -> Tensor:
        index = torch.arange(len(self), device=self.device)[index] if isinstance(index, slice) else index
        images = torch.empty(len(index), *self.shape, dtype=torch.uint8, device=self.device)
        start = 0
        for part in self.parts:
            (places,) = ((index >= start) & (index < start + len(part))).nonzero(as_tuple=True)
            drawn = None if draws is None or part.augment is None else draws[places]
            images[places] = part.take(index[places] - start, drawn)
            start += len(part)
        return images

    def with_augment(self, augment: Augment | None) -> "PictureMixture":
        return type(self)([part.with_augment(augment) for part in self.parts])

    def checksums(self) -> Tensor:
        return torch.cat([part.checksums() for part in self.parts])

    def new_empty(self) -> "PictureMixture":
        return type(self)([part.new_empty() for part in self.parts])

    def to_(self, device) -> "PictureMixture":
        for part in self.parts:
            part.to_(device)
        return self

"""Views of photos with holes: every sample is drawn from its own random numbers, by seed, epoch and index."""

import zlib

import numpy as np
import torch
from torch import Tensor

from siren_fastai.datasets.draws import checked_count, checked_seed
from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.inpainting.sources import Sources
from siren_fastai.inpainting.views import Views, take_views

__all__ = ["InpaintingDataset"]


class InpaintingDataset:
    """Photos on one device. Indexed with a slice or an index tensor, the batch `(image, mask, target, mask)`.

    Sample i is a view of photo i // per_image with holes of its own: drawn from the seed, the epoch and i alone, so it
    is the same in any order, in any batch and in every process. The holes come after the view and change nothing in
    it. `epoch`, `holes` and `views` may be set at any time; an `InpaintingDL` that shuffles adds 1 to `epoch` after
    each complete pass.
    A batch is float32: image and target (m, c, h, w) in [0, 1], the image 0 in the hole, and the mask (m, 1, h, w), 1
    where the image is known.
    Raises: ValueError for photos smaller than `size`, holes that don't fit it, and bad counts or seeds.
    """

    n_inp = 2  # fastai: how many items of a batch are inputs
    value_range = (0.0, 1.0)

    def __init__(
        self,
        sources: Sources,  # the photos
        size: int | tuple[int, int] = 128,  # pixels per side of the views, or (height, width)
        holes=None,  # such as `Rectangles`, with `draw` and `paint`; None is `Rectangles()`
        views: Views | None = None,  # how photos are shown; None is random windows without any change
        per_image: int = 8,  # samples per photo and epoch
        seed: int = 0,  # of everything that is drawn
    ):
        self.size = tuple(checked_count("size", n) for n in (size if isinstance(size, (tuple, list)) else (size, size)))
        sources.check_holds(self.size)
        self.sources, self.views = sources, Views.plain() if views is None else views
        self.per_image, self.seed, self.epoch = checked_count("per_image", per_image), checked_seed(seed), 0
        self.holes = Rectangles() if holes is None else holes

    def __len__(self) -> int:
        return len(self.sources) * self.per_image

    def __getitem__(self, index: slice | Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        index = torch.arange(len(self))[index] if isinstance(index, slice) else index.cpu()
        if not len(index):
            none = torch.zeros(0, *self.shape, device=self.device)
            return none, none[:, :1], none, none[:, :1]
        views, holes = map(torch.from_numpy, self.draw(index.tolist()))
        photos = (index // self.per_image).to(self.device)
        target = take_views(self.sources, photos, views.float().to(self.device), self.views, self.size)
        mask = self.holes.paint(holes.to(self.device), self.size).float()
        return target * mask, mask, target, mask

    def __repr__(self) -> str:
        size = "x".join(map(str, self.size))
        settings = f"holes={self.holes!r}, views={self.views!r}, seed={self.seed}, epoch={self.epoch}"
        return f"{type(self).__name__}({len(self)} samples of {size}, {self.sources.described()}, {settings})"

    @property
    def device(self) -> torch.device:
        return self.sources.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, height, width) of the images in a batch."""
        return self.sources.channels, *self.size

    @property
    def holes(self):
        """What draws and paints the holes. Setting it raises ValueError for holes that don't fit the views."""
        return self._holes

    @holes.setter
    def holes(self, holes) -> None:
        if not (hasattr(holes, "draw") and hasattr(holes, "paint")):
            raise TypeError(f"`holes` must have `draw` and `paint`, as `Rectangles` has, got {holes!r}")
        holes.draw(np.random.default_rng(0), self.size)
        self._holes = holes

    def draw(
        self,
        index: list[int],  # of m samples
    ) -> tuple[np.ndarray, np.ndarray]:  # (m, p) for `views`, and what `holes` draws, m times
        """Draw the random numbers of samples in this epoch."""
        shared = self.views.draw(self._rng()) if self.views.shared else None
        views, holes = [], []
        for i in index:
            rng = self._rng(i)
            own = self.views.draw(rng)
            views.append(own if shared is None else shared)
            holes.append(self.holes.draw(rng, self.size))
        return np.stack(views), np.stack(holes)

    def _rng(self, *index: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, self.epoch, *index])))

    def checksums(self) -> Tensor:
        """Numbers by which processes compare what they hold and would draw, (n + 1,) int64."""
        drawn = zlib.crc32(repr((self.views, self.holes, self.per_image, self.size, self.seed, self.epoch)).encode())
        photos = [int(self.sources[i].sum(dtype=torch.int64)) for i in range(len(self.sources))]
        return torch.tensor([*photos, drawn])

    def like(
        self,
        sources: Sources,
        **changes,  # of `size`, `holes`, `views`, `per_image` and `seed`
    ) -> "InpaintingDataset":
        """Other photos under the same settings, but for the `changes`."""
        settings = {name: getattr(self, name) for name in ("size", "holes", "views", "per_image", "seed")}
        return type(self)(sources, **{**settings, **changes})

    def new_empty(self) -> "InpaintingDataset":
        """The same dataset without photos: what `learn.export` keeps."""
        empty = self.like(self.sources.empty())
        empty.epoch = self.epoch
        return empty

    def to_(self, device) -> "InpaintingDataset":
        """Move the photos to `device`, in place."""
        self.sources.to_(device)
        return self

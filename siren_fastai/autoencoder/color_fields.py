"""One linear map from code values to an image on a grid: its luma, and its chroma as a multiple of luma plus a rest.

That chroma follows luma within a small image is what AV1 calls chroma from luma. It makes one product of a few values
that are otherwise linear, and spares most of the values that colour takes in plain PCA.
Source: Trudeau, Egge and Barr 2018, arXiv:1711.03951, sec. 2 and 3 (a slope for each of the two chroma planes).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.pca import principal_axes

__all__ = ["ColorFields", "count_chroma"]

RIDGE = 1e-5  # variance of luma, in [0, 1]^2 per cell, below which a slope isn't trusted
CHROMA_SHARE = 8  # one value in 8 is for the rest of chroma: best of 6, 10, 12, 16, 24 on tiles
PLANES = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])  # luma and two of chroma, orthogonal
PLANES = PLANES / PLANES.norm(dim=1, keepdim=True)


def count_chroma(
    n_values: int,  # values that describe an image
    channels: int,  # 1 for gray, 3 for RGB
) -> tuple[int, int]:
    """Return how many of the values are slopes, and how many are for the rest of chroma."""
    return (2, (n_values - 2) // CHROMA_SHARE) if channels == 3 else (0, 0)


class ColorFields(nn.Module):
    """Values of an image on a grid of cells, and the image of values: `synthesise(analyse(images))` is close to it.

    The values are slopes, the rest of chroma, luma, and, where luma has fewer cells than values, more of chroma. What
    is left over then is zero. Until `fit_` the fields are random.
    Shapes: images (n, channels, *cells), values (n, n_values).
    """

    def __init__(
        self,
        n_values: int,  # values per image
        channels: int,  # 1 for gray, 3 for RGB
        cells: Sequence[int],  # (rows, columns) of the grid
    ):
        super().__init__()
        self.n_values, self.channels, self.cells = n_values, channels, tuple(cells)
        n_cells = self.cells[0] * self.cells[1]
        self.n_slopes, first = count_chroma(n_values, channels)
        room = n_values - self.n_slopes - first
        n_luma = min(room, n_cells)
        n_chroma = min(first + room - n_luma, 2 * n_cells) if channels == 3 else 0
        self.first_chroma = min(first, n_chroma)
        self.luma_fields = nn.Parameter(nn.init.orthogonal_(torch.empty(n_luma, n_cells)))
        self.luma_mean = nn.Parameter(torch.full((n_cells,), 0.5 * float(PLANES[0].sum() if channels == 3 else 1)))
        if channels == 3:
            self.chroma_fields = nn.Parameter(nn.init.orthogonal_(torch.empty(n_chroma, 2 * n_cells)))
            self.chroma_mean = nn.Parameter(torch.zeros(2 * n_cells))

    def analyse(
        self,
        images: Tensor,  # (n, channels, *cells)
    ) -> Tensor:  # (n, n_values)
        """Return the values of images."""
        luma, chroma = _planes(images)
        of_luma = (luma - self.luma_mean) @ self.luma_fields.T
        if chroma is None:
            return self._padded(of_luma)
        slopes = _slopes(luma, chroma)
        rest = _rest(chroma, slopes, of_luma @ self.luma_fields + self.luma_mean)
        first, more = self._split_chroma((rest - self.chroma_mean) @ self.chroma_fields.T)
        return self._padded(torch.cat([slopes, first, of_luma, more], 1))

    def synthesise(
        self,
        values: Tensor,  # (n, n_values)
    ) -> Tensor:  # (n, channels, *cells), not clamped
        """Return the images of values."""
        slopes, of_luma, of_chroma = self._parts(values)
        luma = of_luma @ self.luma_fields + self.luma_mean
        if self.channels == 1:
            return luma.view(-1, 1, *self.cells)
        rest = (of_chroma @ self.chroma_fields + self.chroma_mean).view(len(values), 2, -1)
        planes = torch.cat([luma[:, None], rest + slopes[:, :, None] * luma[:, None]], 1)
        return torch.einsum("yc,nyp->ncp", PLANES.to(planes), planes).unflatten(2, self.cells)

    def gradient(
        self,
        values: Tensor,  # (n, n_values)
        of_images: Tensor,  # (n, channels, *cells): a loss' gradient at `synthesise(values)`
    ) -> Tensor:  # (n, n_values)
        """Return the gradient of that loss at the values, as autograd would, but without it."""
        slopes, of_luma, _ = self._parts(values)
        if self.channels == 1:
            return self._padded(of_images.flatten(1) @ self.luma_fields.T)
        planes = torch.einsum("yc,ncp->nyp", PLANES.to(of_images), of_images.flatten(2))
        luma = of_luma @ self.luma_fields + self.luma_mean
        at_slopes = (planes[:, 1:] * luma[:, None]).sum(2)
        at_luma = (planes[:, 0] + (slopes[:, :, None] * planes[:, 1:]).sum(1)) @ self.luma_fields.T
        first, more = self._split_chroma(planes[:, 1:].flatten(1) @ self.chroma_fields.T)
        return self._padded(torch.cat([at_slopes, first, at_luma, more], 1))

    def curvature(
        self,
        values: Tensor,  # (n, n_values)
    ) -> Tensor:  # (n, n_values)
        """Return how much the image's squared length grows with each value's square, for fields of length 1."""
        slopes, of_luma, _ = self._parts(values)
        found = torch.ones_like(values)
        if self.channels == 3:
            luma = of_luma @ self.luma_fields + self.luma_mean
            found[:, : self.n_slopes] = luma.square().sum(1, keepdim=True) + RIDGE * luma.shape[1]
            start = self.n_slopes + self.first_chroma
            found[:, start : start + len(self.luma_fields)] += slopes.square().sum(1, keepdim=True)
        return found

    @torch.no_grad()
    def fit_(
        self,
        images: Tensor,  # (n, channels, *cells)
        weights: Tensor,  # (n,) how much each image counts
    ) -> "ColorFields":
        """Set the fields to the principal components of luma, and of the rest of chroma once luma is drawn."""
        luma, chroma = _planes(images)
        mean, axes = principal_axes(luma, len(self.luma_fields), weights)
        self.luma_mean.copy_(mean), self.luma_fields.copy_(axes)
        if chroma is not None:
            rest = _rest(chroma, _slopes(luma, chroma), (luma - mean) @ axes.T @ axes + mean)
            mean, axes = principal_axes(rest, len(self.chroma_fields), weights)
            self.chroma_mean.copy_(mean), self.chroma_fields.copy_(axes)
        return self

    @torch.no_grad()
    def align_(
        self,
        values: Tensor,  # (n, n_values) of some images, as `analyse` returns them
        reference: Tensor,  # (n, n_values) of the same images, by other fields
    ) -> "ColorFields":
        """Rotate the fields so that the same image gets the values of `reference`, as nearly as possible.

        What the fields can draw stays the same. Luma and chroma are rotated apart. Source: orthogonal Procrustes.
        """
        start = self.n_slopes + self.first_chroma
        end = start + len(self.luma_fields)
        self.luma_fields.copy_(_rotation(values[:, start:end], reference[:, start:end]).T @ self.luma_fields)
        if self.channels == 3:
            index = [*range(self.n_slopes, start), *range(end, end + len(self.chroma_fields) - self.first_chroma)]
            wanted = reference[:, index]
            wanted[:, self.first_chroma :] = 0  # luma, in the reference
            self.chroma_fields.copy_(_rotation(values[:, index], wanted).T @ self.chroma_fields)
        return self

    def _parts(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Slopes, values of luma and values of chroma, or None of gray images."""
        ends = torch.tensor([self.n_slopes, self.first_chroma, len(self.luma_fields)]).cumsum(0).tolist()
        slopes, first, of_luma, more = values.tensor_split(ends, dim=1)
        if self.channels == 1:
            return slopes, of_luma, None
        return slopes, of_luma, torch.cat([first, more[:, : len(self.chroma_fields) - self.first_chroma]], 1)

    def _split_chroma(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values of chroma that come before luma's, and those after."""
        return values.tensor_split([self.first_chroma], dim=1)

    def _padded(self, values: Tensor) -> Tensor:
        return nn.functional.pad(values, (0, self.n_values - values.shape[1]))


def _planes(images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Luma (n, p), and chroma (n, 2, p) or None of gray images."""
    if images.shape[1] == 1:
        return images.flatten(1), None
    planes = torch.einsum("yc,nchw->nyhw", PLANES.to(images), images).flatten(2)
    return planes[:, 0], planes[:, 1:]


def _slopes(luma: Tensor, chroma: Tensor) -> Tensor:
    """(n, 2): least squares of chroma on luma within each image."""
    centered = luma - luma.mean(1, keepdim=True)
    return (chroma * centered[:, None]).mean(2) / (centered.square().mean(1, keepdim=True) + RIDGE)


def _rest(chroma: Tensor, slopes: Tensor, drawn: Tensor) -> Tensor:
    """(n, 2 p): chroma without what follows from the luma that was drawn."""
    return (chroma - slopes[:, :, None] * drawn[:, None]).flatten(1)


def _rotation(values: Tensor, wanted: Tensor) -> Tensor:
    """The orthogonal matrix R for which `values @ R` is nearest to `wanted`."""
    left, _, right = torch.linalg.svd(values.T @ wanted)
    return left @ right

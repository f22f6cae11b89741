"""Classic ways to fill a hole, each a pure function of the known pixels. What the hole held isn't read.

Sources: harmonic: Perez et al. 2003, ACM Trans. Graph. 22(3), sec. 2, without a guidance field;
biharmonic, Damelin and Hoang 2018, J. Math. Imaging Vis. 60, as scikit-image computes it.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import cg, splu
from skimage.restoration import inpaint_biharmonic
from torch import Tensor
from torch.nn import functional as F

from siren_fastai.images import check_image
from siren_fastai.inpainting.masks import check_mask, composite
from siren_fastai.inpainting.prefill import smooth_prefill
from siren_fastai.inpainting.rays import blend, cast_rays, disagreement, halved, membrane, ray_weights

__all__ = ["BASELINES", "biharmonic_fill", "harmonic_fill", "mean_fill", "nearest_fill", "ray_fill"]

DIRECT = 200_000  # unknown pixels that are solved for directly, in seconds and a few hundred MB; more iteratively
TOLERANCE = 1e-5  # of the iterative solution, relative
NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def mean_fill(
    image: Tensor,  # (h, w, c) floats
    mask: Tensor,  # (h, w) bool, True is known
) -> Tensor:  # (h, w, c), known pixels as they are
    """Fill the hole with the mean colour of the known pixels. Raises: as `check_mask`, and ValueError for images."""
    _check(image, mask)
    return composite(image[mask].mean(0).expand_as(image), image, mask)


def nearest_fill(
    image: Tensor,  # (h, w, c) floats
    mask: Tensor,  # (h, w) bool, True is known
) -> Tensor:  # (h, w, c), known pixels as they are
    """Give each pixel of the hole the colour of the nearest known pixel. Raises: as `mean_fill`."""
    _check(image, mask)
    rows, columns = ndimage.distance_transform_edt(~_array(mask), return_distances=False, return_indices=True)
    return image[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]


def harmonic_fill(
    image: Tensor,  # (h, w, c) floats
    mask: Tensor,  # (h, w) bool, True is known
) -> Tensor:  # (h, w, c), known pixels as they are
    """Fill the hole with the smoothest surface through its rim: each pixel is the mean of its neighbours.

    The discrete solution of Laplace's equation, which minimises the squared differences of neighbours. At the image's
    border a pixel has fewer neighbours. Values stay within those at the rim, so no new extremes appear.
    Raises: as `mean_fill`.
    """
    _check(image, mask)
    values, known = _array(image).astype(np.float64), _array(mask)
    unknown = ~known
    matrix, sums = _laplace(np.where(known[..., None], values, 0), unknown)
    start = _array(nearest_fill(image, mask))[unknown] if len(sums) > DIRECT else None
    values[unknown] = _solved(matrix, sums, start)
    return composite(torch.from_numpy(values).to(image.dtype), image, mask)


def biharmonic_fill(
    image: Tensor,  # (h, w, c) floats
    mask: Tensor,  # (h, w) bool, True is known
) -> Tensor:  # (h, w, c), known pixels as they are
    """Fill the hole with a surface that continues values and slopes at the rim, clamped to the known values' range.

    scikit-image's `inpaint_biharmonic`. Raises: as `mean_fill`.
    """
    _check(image, mask)
    blank = _array(mean_fill(image, mask)).astype(np.float64)
    filled = inpaint_biharmonic(blank, ~_array(mask), channel_axis=-1)
    return composite(torch.from_numpy(filled).to(image.dtype), image, mask)


def ray_fill(
    image: Tensor,  # (h, w, c) floats
    mask: Tensor,  # (h, w) bool, True is known
) -> Tensor:  # (h, w, c), known pixels as they are
    """Fill the hole with a blend of the known pixels that 16 rays meet, so that edges go on across it; see `rays.py`.

    It is made at half the size; a smooth surface is added by which it meets the known pixels. Clamped to the known
    values' range. Nothing is learned. Raises: as `mean_fill`.
    """
    _check(image, mask)
    x, known = image.permute(2, 0, 1)[None].float(), mask[None, None]
    even = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
    x, known = F.pad(x, even), F.pad(known, even)
    half, half_known = halved(x, known)
    colors, distances = cast_rays(half, half_known)
    weights = ray_weights(distances, disagreement(colors, distances))
    filled, hole = smooth_prefill(half, half_known).permute(0, 2, 3, 1), ~half_known[:, 0]
    filled[hole] = blend(weights / weights.sum(1, keepdim=True), colors, filled[hole])
    drawn = membrane(filled.permute(0, 3, 1, 2), x, known)[0].permute(1, 2, 0)[: image.shape[0], : image.shape[1]]
    return composite(drawn.to(image.dtype).clamp(image[mask].min(), image[mask].max()), image, mask)


BASELINES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": mean_fill,
    "nearest": nearest_fill,
    "harmonic": harmonic_fill,
    "biharmonic": biharmonic_fill,
    "rays": ray_fill,
}


def _check(image: Tensor, mask: Tensor) -> None:
    check_image(image)
    if not image.is_floating_point():
        raise TypeError(f"`image` must hold floats, got {image.dtype}: `load_image` makes them from any image")
    check_mask(mask, image.shape[:2])


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _laplace(values: np.ndarray, unknown: np.ndarray) -> tuple[csr_array, np.ndarray]:
    """The equations of the unknown pixels (n, n), and the sums of each one's known neighbours (n, c)."""
    n, index = int(unknown.sum()), np.full(unknown.shape, -1)
    index[unknown] = np.arange(n)
    index, padded = np.pad(index, 1, constant_values=-2), np.pad(values, ((1, 1), (1, 1), (0, 0)))
    rows, columns = (axis + 1 for axis in np.nonzero(unknown))
    sums, degree, pairs = np.zeros((n, values.shape[2])), np.zeros(n), []
    for down, right in NEIGHBOURS:
        other = index[rows + down, columns + right]
        sums += np.where((other == -1)[:, None], padded[rows + down, columns + right], 0)
        degree += other != -2
        pairs.append(np.stack([np.flatnonzero(other >= 0), other[other >= 0]]))
    links = np.concatenate(pairs, axis=1)
    return csr_array(diags_array(degree)) - csr_array((np.ones(links.shape[1]), tuple(links)), shape=(n, n)), sums


def _solved(matrix: csr_array, sums: np.ndarray, start: np.ndarray | None) -> np.ndarray:
    """The solution (n, c) of the equations: iteratively from `start`, or directly without one."""
    if start is None:
        return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(sums)
    columns = [cg(matrix, sums[:, i], start[:, i], rtol=TOLERANCE)[0] for i in range(sums.shape[1])]
    return np.stack(columns, axis=1)

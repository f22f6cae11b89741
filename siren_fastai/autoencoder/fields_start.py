"""An autoencoder of colour fields that is good before it trains: components of the images it is for."""

from collections.abc import Sequence

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from siren_fastai.autoencoder.color_fields import ColorFields
from siren_fastai.autoencoder.decoders.fields import FieldsDecoder
from siren_fastai.autoencoder.encoders.fields import STEPS, FieldsEncoder
from siren_fastai.autoencoder.experts import EXPERTS, Experts
from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.autoencoder.pca import as_floats
from siren_fastai.autoencoder.refine import enlarged

__all__ = ["fields_autoencoder", "fit_experts_"]

SAME_GRID, OTHERS = 0.25, 0.1  # what other images count in an expert's components, its own counting 1
ROUNDS = 4  # of giving images to experts; on tiles the fourth gains 0.3 %
EXACT = 1e-6  # mean squared error of an image on cells that are its own, in [0, 1]^2
FEATURES = 20  # luma components by which images are first given to experts
SPREAD = 0.5  # standard deviation of code values, as `code_spread` wants it
LEAST_SPREAD = 1e-5  # of a value before it is scaled; less is rounding


def fields_autoencoder(
    images: Tensor,  # (n, c, h, w) uint8, or float in [0, 1]: those that will train it
    code_size: int = 102,  # values per code
    experts: Sequence[tuple[int, int]] = EXPERTS,  # (pixels per side of a cell, fields on that grid), finest last
    steps: int = STEPS,  # of the encoder towards the lowest L1; 0 is the lowest squared error
    seed: int = 0,  # of the first split of the images among experts on a grid
) -> Autoencoder:
    """Return an autoencoder of `FieldsEncoder` and `FieldsDecoder` that starts from components of `images`.

    Both share one set of fields: the encoder looks for the code of which the decoder draws the image. The start takes
    some ten seconds for thousands of images of 32x32. Train it with L1 and Adam at a rate of 1e-4 to 3e-4: its weights
    are components of unit length, and larger steps undo them.
    Raises: TypeError for other tensors; ValueError for too few images, and as `Experts`.
    """
    images = as_floats(images)
    encoder = FieldsEncoder(tuple(images.shape[1:]), code_size, experts, steps)
    decoder = FieldsDecoder(code_size, images.shape[1], tuple(images.shape[2:]), experts)
    fit_experts_(encoder.experts, images, seed)
    decoder.experts = encoder.experts
    return Autoencoder(encoder, decoder).to(images.device)


@torch.no_grad()
def fit_experts_(
    experts: Experts,  # changed in place, on the CPU
    images: Tensor,  # (n, c, h, w) float in [0, 1]
    seed: int = 0,  # of k-means
) -> Experts:
    """Fit every expert to the images it draws best, align their values, and scale the code."""
    images = images.cpu()
    if len(images) <= experts.n_values:
        raise ValueError(f"{experts.code_size} code values need more than {experts.n_values} images, got {len(images)}")
    grid_of = _coarsest_exact(images, sorted(set(experts.cells), reverse=True))
    for cell in dict.fromkeys(experts.cells):
        _fit_grid(experts, images, [i for i, c in enumerate(experts.cells) if c == cell], grid_of == cell, seed)
    reference = experts.analyse(images, len(experts.cells) - 1)
    for i, fields in enumerate(experts.fields[:-1]):
        fields.align_(experts.analyse(images, i), reference)
    values = experts.encode(images)[:, : experts.n_values]
    spread = values.std(0) / SPREAD
    experts.shift.copy_(values.mean(0)), experts.scale.copy_(torch.where(spread > LEAST_SPREAD, spread, 1.0))
    return experts


def _coarsest_exact(images: Tensor, cells: list[int]) -> Tensor:
    """(n,): the coarsest of the cells, largest first, that an image was enlarged from; the finest for all others."""
    found = torch.full((len(images),), cells[-1])
    for cell in reversed(cells[:-1]):
        flat = enlarged(torch.nn.functional.avg_pool2d(images, cell), cell)
        found[(flat - images).square().mean((1, 2, 3)) < EXACT] = cell
    return found


def _fit_grid(experts: Experts, images: Tensor, members: list[int], own: Tensor, seed: int) -> None:
    """Fit the experts on one grid to its own images; to all images if hardly any are."""
    small = experts.on_cells(images, members[0])
    if own.sum() < 2 * len(members):
        own = torch.ones_like(own)
    first = experts.fields[members[0]].fit_(small, torch.where(own, 1.0, OTHERS))
    if len(members) == 1:
        return
    mine = small[own]
    luma = first.analyse(mine)[:, first.n_slopes + first.first_chroma :][:, :FEATURES]
    part = torch.from_numpy(KMeans(len(members), n_init=3, random_state=seed).fit_predict(luma.numpy())).long()
    weights = torch.full((len(small),), OTHERS)
    for _ in range(ROUNDS):
        for k, member in enumerate(members):
            weights[own] = torch.where(part == k, 1.0, SAME_GRID)
            experts.fields[member].fit_(small, weights)
        part = torch.stack([_l1(experts.fields[member], mine) for member in members], 1).argmin(1)


def _l1(fields: ColorFields, images: Tensor) -> Tensor:
    """(n,): how far from images on their own grid what the fields draw of them is."""
    return (fields.synthesise(fields.analyse(images)).clamp(0, 1) - images).abs().mean((1, 2, 3))

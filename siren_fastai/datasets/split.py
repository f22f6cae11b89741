"""Which images train and which validate: whole groups, spread evenly over the collection."""

from fractions import Fraction

import torch
from torch import Tensor

__all__ = ["EVERY", "split_groups"]

EVERY = 21  # one group in 21 validates, 20 to 1


def split_groups(
    groups: Tensor,  # (n,) int64: what each image comes from
    valid: int | float = EVERY,  # an integer n: every n-th group validates; a share in (0, 1): as many of the groups
) -> tuple[Tensor, Tensor]:  # (m,) and (n - m,) int64, sorted
    """The indices of the images that train and of those that validate; no group is in both.

    Groups count in the order of their numbers, and those that validate are spread evenly among them; nothing is drawn.
    Raises: ValueError for a bad `valid`, for groups that aren't (n,), or if one of the two parts is empty.
    """
    if groups.dim() != 1 or groups.is_floating_point():
        raise ValueError(f"`groups` must be (n,) integers, got {tuple(groups.shape)} of {groups.dtype}")
    share = _share(valid)
    names, position = groups.unique(return_inverse=True)
    ends = [int((i + 1) * share) > int(i * share) for i in range(len(names))]
    held_out = torch.tensor(ends, dtype=torch.bool, device=groups.device)[position]
    if not 0 < int(held_out.sum()) < len(groups):
        raise ValueError(
            f"`valid`={valid!r} leaves {int(held_out.sum())} of {len(groups)} images for validation, which come in "
            f"{len(names)} groups; both parts need one or more"
        )
    return (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]


def _share(valid: int | float) -> Fraction:
    """The share of the groups that validates."""
    if isinstance(valid, int) and not isinstance(valid, bool) and valid > 1:
        return Fraction(1, valid)
    if isinstance(valid, float) and 0 < valid < 1:
        return Fraction(valid).limit_denominator(10**6)
    raise ValueError(f"`valid` must be an integer above 1 (every n-th group) or a share between 0 and 1, got {valid!r}")

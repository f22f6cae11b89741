"""How much a network varies from one position to the next: a prior on what it draws where no sample is known."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["ROUGHNESS", "neighbours", "roughness"]

SMOOTHING = 1e-6  # added under the root of the total variation, which has no slope at 0 otherwise; in squared values


def neighbours(
    positions: Tensor,  # (n, d)
    spacing: Sequence[float] | Tensor,  # (d,), from one sample to the next along each axis
) -> Tensor:  # (d + 1, n, d): the positions, and their neighbours along each axis
    """Return each position with the one that is `spacing` further along each axis."""
    steps = torch.diag(torch.as_tensor(spacing, dtype=positions.dtype, device=positions.device))
    return torch.cat([positions[None], positions + steps[:, None]])


def roughness(
    values: Tensor,  # (d + 1, n, ..., c), a network's at `neighbours`; "..." may be the networks of a stack
    kind: str = "tv",  # one of ROUGHNESS
) -> Tensor:  # (...), one number for each network
    """Return the mean over positions of the differences between neighbours, over all axes and channels.

    "tv" is the total variation, the length of the vector of all differences, which leaves edges sharp; "membrane" is
    its square, whose minimum is the solution of Laplace's equation.
    Raises: ValueError for another kind.
    Source: "tv": Rudin, Osher and Fatemi 1992, Physica D 60; for colours, Blomgren and Chan 1998, IEEE Trans. Image
    Process. 7(3).
    """
    if kind not in ROUGHNESS:
        raise ValueError(f"`kind` must be one of {tuple(ROUGHNESS)}, got {kind!r}")
    squares = (values[1:] - values[:1]).square().sum(-1).sum(0)  # (n, ...)
    return ROUGHNESS[kind](squares).mean(0)


def _length(squares: Tensor) -> Tensor:
    return (squares + SMOOTHING).sqrt()


ROUGHNESS: dict[str, Callable[[Tensor], Tensor]] = {"tv": _length, "membrane": lambda squares: squares}

"""The loss of an inpainting network: the hole and the known part weighted apart, and a smooth seam.

Source: Liu et al. 2018, arXiv:1804.07723, sec. 3.3: 6 hole + 1 known + 0.1 total variation, and two terms on the
features of a VGG network, for which there is a hook. There is no adversarial loss: what it draws looks sharp, and is
further from the photo.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siren_fastai.inpainting.masks import composite

__all__ = ["HoleDecibels", "InpaintingLoss", "seam_variation"]

ERRORS = {"l1": torch.abs, "l2": torch.square}


class InpaintingLoss(nn.Module):
    """hole * error in the hole + known * error elsewhere + seam * total variation of the composite around the hole.

    Each term is a sum over the pixels and channels of an image, divided by all of them, c h w, as in the paper: large
    holes count more, and an image without a hole adds nothing. With `per_part=True`, the two errors are divided by the
    values in their own part instead, so that holes of any size count alike. The loss is the mean over images.
    Shapes: (n, c, h, w) twice and a mask (n, 1, h, w), 1 being known -> a scalar, or (n,) if `reduction` is "none".
    Raises: ValueError for negative weights, nothing but zeros, or an unknown `kind`.
    """

    def __init__(
        self,
        hole: float = 6.0,  # weight
        known: float = 1.0,  # weight
        seam: float = 0.1,  # weight
        kind: str = "l1",  # "l1", the absolute error, or "l2", the squared one
        per_part: bool = False,  # divide each error by the pixels of its part, not by those of the image
        perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,  # (composite, target) -> a scalar to be added
        reduction: str = "mean",  # "mean", or "none" for a value per image
    ):
        super().__init__()
        if kind not in ERRORS:
            raise ValueError(f"`kind` must be one of {tuple(ERRORS)}, got {kind!r}")
        weights = {"hole": hole, "known": known, "seam": seam}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"`{name}` must be a weight of 0 or more, got {weight!r}")
        if not any(weights.values()) and perceptual is None:
            raise ValueError("all weights are 0: nothing would be trained")
        self.hole, self.known, self.seam, self.kind = hole, known, seam, kind
        self.per_part, self.perceptual, self.reduction = per_part, perceptual, reduction

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        pred, target, known = pred.float(), target.float(), mask.bool()
        error = ERRORS[self.kind](pred - target).mean(1, keepdim=True)
        loss = self.hole * self._part(error, ~known) + self.known * self._part(error, known)
        if self.seam or self.perceptual is not None:
            filled = composite(pred, target, known)
        if self.seam:
            loss = loss + self.seam * seam_variation(filled, known)
        if self.perceptual is not None:
            loss = loss + self.perceptual(filled, target)
        return loss.mean() if self.reduction == "mean" else loss

    def extra_repr(self) -> str:
        return f"hole={self.hole}, known={self.known}, seam={self.seam}, kind={self.kind!r}, per_part={self.per_part}"

    def _part(self, error: Tensor, part: Tensor) -> Tensor:
        """(n,) the error of a part, of which an image may have none."""
        total = (error * part).sum((1, 2, 3))
        return total / (part.sum((1, 2, 3)).clamp_min(1) if self.per_part else part[0].numel())


class HoleDecibels(nn.Module):
    """How many dB of PSNR the holes lack: 0 at `best` dB, about `best` minus the PSNR where that is far lower.

    For images whose quality is judged by their mean PSNR: an easy image with a small error counts as much as a
    difficult one. What is drawn outside the hole, and an image without a hole, don't count.
    Shapes: (n, c, h, w) twice and a mask (n, 1, h, w), 1 being known -> a scalar, the mean over images.
    Raises: ValueError for a `best` that isn't positive.
    """

    def __init__(
        self,
        best: float = 40.0,  # dB; smaller errors hardly count any more
    ):
        super().__init__()
        if not 0 < best < math.inf:
            raise ValueError(f"`best` must be a PSNR above 0 dB, got {best!r}")
        self.best = best

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        hole = ~mask.bool()
        error = (pred.float() - target.float()).square().mean(1, keepdim=True) * hole
        mse = error.sum((1, 2, 3)) / hole.sum((1, 2, 3)).clamp_min(1)
        return 10 * (1 + mse * 10 ** (self.best / 10)).log10().mean()

    def extra_repr(self) -> str:
        return f"best={self.best}"


def seam_variation(
    image: Tensor,  # (n, c, h, w): the composite
    mask: Tensor,  # (n, 1, h, w), 1 is known
) -> Tensor:  # (n,)
    """Return the sum of absolute differences between neighbours in the hole and one pixel around it, over c h w.

    Neighbours are left and right, above and below; the pixel around it is one of the eight next to the hole.
    """
    around = F.max_pool2d((~mask.bool()).float(), 3, 1, 1)
    across = (image[..., 1:] - image[..., :-1]).abs() * around[..., 1:] * around[..., :-1]
    down = (image[..., 1:, :] - image[..., :-1, :]).abs() * around[..., 1:, :] * around[..., :-1, :]
    return (across.sum((1, 2, 3)) + down.sum((1, 2, 3))) / image[0].numel()

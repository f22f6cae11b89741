"""The scores of filled holes as fastai metrics, for learners whose metrics get prediction, target and mask.

Each is exact for any batch size and number of processes: images are averaged, not batches.
"""

import math

import torch
from fastai.learner import Learner, Metric
from torch import Tensor

from siren_fastai.data.share import drop_repeats, is_shared
from siren_fastai.inpainting.scores import error_sums, filled_ssim
from siren_fastai.processes import all_values
from siren_fastai.quality import psnr_from_mse

__all__ = ["FilledSSIM", "HoleL1", "HolePSNR", "KnownL1", "KnownPSNR"]


class ImageMetric(Metric):
    """A metric that keeps some numbers of each image, `rows`, and makes one of all of them, `result`."""

    def __init__(self):
        self.reset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def reset(self) -> None:
        self.kept, self.shared = [], False

    def accumulate(self, learn: Learner) -> None:
        self.shared = is_shared(learn.dl)
        target, mask = learn.yb
        self.kept.append(drop_repeats(learn.dl, self.rows(learn.pred, target, mask.bool())).cpu())

    @property
    def value(self) -> float | None:
        if self.shared:
            self.kept, self.shared = [part for parts in all_values(self.kept) for part in parts], False
        rows = torch.cat(self.kept).double() if self.kept else torch.empty(0)
        return self.result(rows) if len(rows) else None

    def result(self, rows: Tensor) -> float:
        """The mean over the images that have the part that is asked for; nan if a prediction is."""
        return float(self.scores(rows[rows[:, 1] > 0]).mean())

    def scores(self, rows: Tensor) -> Tensor:
        """(n,) the score of each image: a sum by a number of values."""
        return rows[:, 0] / rows[:, 1]


class HolePSNR(ImageMetric):
    """PSNR in the hole in dB: the mean over images, or that of all holes' pixels together with `pooled=True`.

    Predictions are clamped to [0, 1]. The two averages may rank methods differently; reports should name theirs.
    """

    hole, kind = True, "l2"

    def __init__(
        self,
        pooled: bool = False,  # one mean squared error over the pixels of all holes
    ):
        self.pooled = pooled
        super().__init__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(pooled={self.pooled})"

    @property
    def name(self) -> str:
        return "pooled_" * self.pooled + ("hole_psnr" if self.hole else "known_psnr")

    def rows(self, pred: Tensor, target: Tensor, known: Tensor) -> Tensor:
        return error_sums(pred, target, ~known if self.hole else known, self.kind)

    def result(self, rows: Tensor) -> float:
        if self.pooled:
            total, count = rows.sum(0).tolist()
            return psnr_from_mse(total / count) if count else math.nan
        return super().result(rows)

    def scores(self, rows: Tensor) -> Tensor:
        return -10 * super().scores(rows).log10()


class KnownPSNR(HolePSNR):
    """PSNR of the prediction at the known pixels, as `HolePSNR` in the hole; the composite has them exactly."""

    hole = False


class HoleL1(ImageMetric):
    """Mean absolute error in the hole, from 0 to 1: the mean over images. Predictions are clamped to [0, 1]."""

    hole = True

    @property
    def name(self) -> str:
        return "hole_l1" if self.hole else "known_l1"

    def rows(self, pred: Tensor, target: Tensor, known: Tensor) -> Tensor:
        return error_sums(pred, target, ~known if self.hole else known, "l1")


class KnownL1(HoleL1):
    """Mean absolute error of the prediction at the known pixels, as `HoleL1` in the hole."""

    hole = False


class FilledSSIM(ImageMetric):
    """SSIM of the filled images, known pixels being the target's: the mean over images, at most 1."""

    @property
    def name(self) -> str:
        return "filled_ssim"

    def rows(self, pred: Tensor, target: Tensor, known: Tensor) -> Tensor:
        values = filled_ssim(pred, target, known)
        return torch.stack([values, torch.ones_like(values)], 1)

"""PSNR and SSIM as fastai metrics, pooled over the epoch: exact for any batch size."""

import math

import torch
from fastai.learner import Learner, Metric
from torch import Tensor

from siren_fastai.quality import psnr_from_mse, ssim

__all__ = ["PSNR", "SSIM"]


class PSNR(Metric):
    """Peak signal-to-noise ratio in dB of all samples of the epoch, 10 log10(data_range^2 / MSE).

    The squared errors of the batches are summed in double precision and the logarithm taken once: an average of the
    batches' PSNR would be another number. `data_range` is the width of the values' range, which starts at `low`;
    predictions are cut to it unless `clamp` is False. Equal signals give inf.
    """

    def __init__(self, data_range: float = 1.0, low: float = 0.0, clamp: bool = True):
        if not data_range > 0:
            raise ValueError(f"`data_range` must be above 0, got {data_range!r}")
        self.data_range, self.low, self.clamp = data_range, low, clamp
        self.reset()

    def reset(self) -> None:
        self.squares, self.count = [], 0

    def accumulate(self, learn: Learner) -> None:
        pred, target = learn.pred.detach(), learn.yb[0]
        pred = pred.float().clamp(self.low, self.low + self.data_range) if self.clamp else pred.float()
        error = pred.reshape(-1) - target.reshape(-1)
        self.squares.append(torch.dot(error, error))  # on the device: no wait per batch, no float64, which MPS lacks
        self.count += error.numel()

    @property
    def value(self) -> float | None:
        if not self.count:
            return None
        return psnr_from_mse(math.fsum(torch.stack(self.squares).tolist()) / self.count, self.data_range)

    @property
    def name(self) -> str:
        return "psnr"


class SSIM(Metric):
    """Structural similarity of the picture that the epoch's batches make up (scikit-image's definition).

    It needs every pixel in raster order, as the validation loader of `valid="all"` gives them; batches in another order
    give nan. `gaussian=True` is the 11x11 Gaussian window of Wang et al. 2004. `data_range` and `low` as in `PSNR`.
    """

    def __init__(self, data_range: float = 1.0, low: float = 0.0, gaussian: bool = False):
        if not data_range > 0:
            raise ValueError(f"`data_range` must be above 0, got {data_range!r}")
        self.data_range, self.low, self.gaussian = data_range, low, gaussian
        self.reset()

    def reset(self) -> None:
        self.preds, self.targets, self.last = [], [], None

    def accumulate(self, learn: Learner) -> None:
        dl = learn.dl
        data = getattr(dl, "dataset", None)
        if learn.training or (data is not None and getattr(data, "shape", None) is None):
            raise ValueError("`SSIM` needs a picture: validate on PixelDataLoaders, not on training batches")
        if data is None or dl.shuffle or dl.order is not None or dl.off_grid or dl.repeat > 1:
            self.last = math.nan  # no picture in raster order
            return
        self.shape = data.shape
        pred = learn.pred.detach().float().clamp(self.low, self.low + self.data_range)
        self.preds.append(pred - self.low)  # SSIM is not shift invariant: its range starts at 0
        self.targets.append(learn.yb[0] - self.low)

    @property
    def value(self) -> float | None:
        if self.preds:
            self.last = self._of_picture(torch.cat(self.preds), torch.cat(self.targets))
            self.preds, self.targets = [], []  # or an exported learner would carry them
        return self.last

    def _of_picture(self, pred: Tensor, target: Tensor) -> float:
        if len(pred) != math.prod(self.shape):
            raise ValueError(f"`SSIM` needs all {math.prod(self.shape)} pixels, got {len(pred)}: load with valid='all'")
        picture = (*self.shape, -1)
        return ssim(pred.view(picture), target.view(picture), self.data_range, self.gaussian)

    @property
    def name(self) -> str:
        return "ssim"

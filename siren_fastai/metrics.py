"""PSNR, SNR and SSIM as fastai metrics, pooled over the epoch: exact for any batch size and number of processes."""

import math

import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner, Metric
from torch import Tensor

from siren_fastai.data.share import drop_repeats, is_shared
from siren_fastai.processes import all_values
from siren_fastai.quality import psnr_from_mse, snr_from_sums, ssim

__all__ = ["PSNR", "SNR", "SSIM", "default_metrics"]


def default_metrics(dls: DataLoaders) -> list[Metric]:
    """What `siren_learner` reports: the PSNR if the data state their value range, else nothing but the loss.

    A PSNR relates the error to the range of the values. A range that is guessed from the values themselves can be off
    by a factor of two, 6 dB, without any sign of it. Sounds have their SNR instead.
    """
    value_range = getattr(dls.train_ds, "value_range", None)
    if value_range is None:
        return []
    kind = SNR if getattr(dls.train_ds, "is_sound", False) else PSNR
    return [kind(value_range[1] - value_range[0], value_range[0])]


class BatchRows:
    """Numbers (k,) of each batch in one tensor (n, k) on their device, which doubles when it is full.

    A list of small tensors costs more than its bytes: each lies between two large ones of its batch, and the heap then
    grew by 2.7 MB with every batch of 16384 samples, to 1.4 GB for 8 million.
    """

    def __init__(self, rows: Tensor | None = None):
        self.buffer, self.count = rows, 0 if rows is None else len(rows)

    def append(self, row: Tensor) -> None:
        if self.buffer is None:
            self.buffer = row.new_zeros(256, *row.shape)
        if self.count == len(self.buffer):
            self.buffer = torch.cat([self.buffer, torch.zeros_like(self.buffer)])
        self.buffer[self.count] = row
        self.count += 1

    def rows(self) -> Tensor | None:
        """The rows on the CPU; None if there was no batch."""
        return None if self.buffer is None else self.buffer[: self.count].cpu()


class RangeMetric(Metric):
    """A metric of values in the stated range [low, low + data_range]."""

    def __init__(self, data_range: float, low: float):
        if not (0 < data_range < math.inf and -math.inf < low < math.inf):
            raise ValueError(f"`data_range` must be above 0 and `low` finite, got {data_range!r} and {low!r}")
        self.data_range, self.low = data_range, low

    def __repr__(self) -> str:
        names = ("data_range", "low", *self.options)
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def clamped(self, pred: Tensor) -> Tensor:
        return pred.clamp(self.low, self.low + self.data_range)


class PSNR(RangeMetric):
    """Peak signal-to-noise ratio in dB of all samples of the epoch, 10 log10(data_range^2 / MSE).

    The squared errors of the batches are summed in double precision and the logarithm taken once: an average of the
    batches' PSNR would be another number. Equal signals give inf. Where several processes share the batches, each gets
    the PSNR of all samples.
    Raises: ValueError at the end of an epoch if `clamp` is on and the targets leave the range: the range is wrong then,
    and the number would be too.
    """

    options = ("clamp",)

    def __init__(
        self,
        data_range: float = 1.0,  # the width of the values' range: 1 for images, 2 for values in [-1, 1]
        low: float = 0.0,  # where the range starts: -1 for values in [-1, 1]
        clamp: bool = True,  # clamp predictions to the range, as whoever shows the image does
    ):
        super().__init__(data_range, low)
        self.clamp = clamp
        self.reset()

    def reset(self) -> None:
        self.kept, self.count, self.shared = BatchRows(), 0, False

    def accumulate(self, learn: Learner) -> None:
        self.shared = is_shared(learn.dl)
        pred, target = drop_repeats(learn.dl, learn.pred.detach().float()), drop_repeats(learn.dl, learn.yb[0])
        if not target.numel():
            return
        error = (self.clamped(pred) if self.clamp else pred).reshape(-1) - target.reshape(-1)
        target = target.reshape(-1).to(error)
        # On the device: no wait per batch, no float64, which MPS lacks.
        self.kept.append(torch.stack([*target.aminmax(), torch.dot(error, error), *self._more(target)]))
        self.count += error.numel()

    def _more(self, target: Tensor) -> list[Tensor]:
        """Further sums over the targets (n,) of a batch."""
        return []

    @property
    def value(self) -> float | None:
        sums = self._whole()
        return None if sums is None else psnr_from_mse(sums[0] / self.count, self.data_range)

    def _whole(self) -> list[float] | None:
        """The sums of the epoch, after a check of the targets: the squared errors, then what `_more` adds."""
        if self.shared:
            self._pool()
        rows = self.kept.rows()
        if rows is None:
            return None
        if self.clamp:
            self._check_targets(rows[:, 0].min().item(), rows[:, 1].max().item())
        return [math.fsum(column.tolist()) for column in rows.T[2:]]

    def _pool(self) -> None:
        """Take in the rows of the other processes; the value is then the same on all, to the last bit."""
        rows, counts = zip(*all_values((self.kept.rows(), self.count)), strict=True)
        rows = [part for part in rows if part is not None]
        self.kept = BatchRows(torch.cat(rows) if rows else None)
        self.count, self.shared = sum(counts), False

    def _check_targets(self, low: float, high: float) -> None:
        slack = 1e-5 * self.data_range
        if low < self.low - slack or high > self.low + self.data_range + slack:
            raise ValueError(
                f"`PSNR` expects targets in [{self.low:g}, {self.low + self.data_range:g}], got {low:g} to {high:g}: "
                "state their range, as `PSNR(data_range=2, low=-1)` for [-1, 1]; for a residual, whose range is that "
                "of the image it was made from, `clamp=False`"
            )

    @property
    def name(self) -> str:
        return "psnr"


class SNR(PSNR):
    """Signal-to-noise ratio in dB of all samples of the epoch, 10 log10(mean of target^2 / MSE), as usual for sounds.

    The mean isn't subtracted: for values that aren't around 0, as those of images, use `PSNR`. A silent target gives
    -inf, or nan if the prediction is silent too. Pooled as `PSNR`, which see.
    """

    def __init__(
        self,
        data_range: float = 2.0,  # the width of the values' range: 2 for sounds, whose values are in [-1, 1]
        low: float = -1.0,  # where the range starts
        clamp: bool = True,  # clamp predictions to the range, as a wave file does
    ):
        super().__init__(data_range, low, clamp)

    def _more(self, target: Tensor) -> list[Tensor]:
        return [torch.dot(target, target)]

    @property
    def value(self) -> float | None:
        sums = self._whole()
        return None if sums is None else snr_from_sums(sums[1], sums[0])

    @property
    def name(self) -> str:
        return "snr"


class SSIM(RangeMetric):
    """Structural similarity of the image that the epoch's batches make up (scikit-image's definition).

    It needs every pixel in raster order, as the validation loader of `valid="all"` gives them; batches in another order
    give nan. Where several processes share the batches, each gathers the image.
    Raises: ValueError for anything but a whole 2-D image, or targets outside the range.
    """

    options = ("gaussian",)

    def __init__(
        self,
        data_range: float = 1.0,  # the width of the values' range: 1 for images, 2 for values in [-1, 1]
        low: float = 0.0,  # where the range starts: -1 for values in [-1, 1]
        gaussian: bool = False,  # the 11x11 Gaussian window of Wang et al. 2004 instead of 7x7 uniform ones
    ):
        super().__init__(data_range, low)
        self.gaussian = gaussian
        self.reset()

    def reset(self) -> None:
        self.preds, self.targets, self.last = [], [], None

    def accumulate(self, learn: Learner) -> None:
        shape = getattr(getattr(learn.dl, "dataset", None), "shape", None)
        if learn.training or shape is None or len(shape) != 2 or not hasattr(learn.dl, "in_raster_order"):
            raise ValueError("`SSIM` needs an image: validate on 2-D PixelDataLoaders, not on training batches")
        if not learn.dl.in_raster_order:
            self.last = math.nan
            return
        self.shape = shape
        pred, target = learn.dl.to_detach((learn.pred, learn.yb[0]), cpu=False)  # of all processes
        self.preds.append(self.clamped(pred.float()) - self.low)  # SSIM changes when values are shifted
        self.targets.append(target - self.low)

    @property
    def value(self) -> float | None:
        if self.preds:
            self.last = self._of_image(torch.cat(self.preds), torch.cat(self.targets))
            self.preds, self.targets = [], []  # or an exported learner would carry them
        return self.last

    def _of_image(self, pred: Tensor, target: Tensor) -> float:
        if len(pred) != math.prod(self.shape):
            raise ValueError(f"`SSIM` needs all {math.prod(self.shape)} pixels, got {len(pred)}: load with valid='all'")
        image = (*self.shape, -1)
        return ssim(pred.view(image), target.view(image), self.data_range, self.gaussian)

    @property
    def name(self) -> str:
        return "ssim"

"""How well each network of a stack does, epoch by epoch."""

from pathlib import Path

import pandas as pd
import torch
from fastai.callback.core import Callback
from torch import Tensor

from siren_fastai.analysis.records import RECORD_COLUMNS
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.files import replacing
from siren_fastai.metrics import BatchRows
from siren_fastai.quality import psnr_from_mse

__all__ = ["StackHistory"]

BETA = 0.98  # of fastai's smoothed loss


class StackHistory(Callback):
    """Keep a row per network and validated epoch.

    Columns: network, those of `MetricHistory` (`lr` is the network's own; the seconds are its share, the stack's
    divided by the number of networks), train_loss (smoothed as fastai's), valid_loss (the MSE) and, if the data state
    their value range, psnr in dB (of predictions clamped to it). A network that diverged has nan; `finite_steps` (n,)
    counts the steps of each before its loss was infinite or NaN. `batches` are the samples of each training step, of
    the longest where signals are padded; `samples_seen` are each network's own.
    """

    order = MetricHistory.order + 1  # it reads the row of that callback

    def __init__(self):
        self.rows, self.sums, self.batches, self.finite_steps, self.seen = [], BatchRows(), [], None, 0

    def before_fit(self):
        self.smooth, self.smoothed, self.sums = 0.0, 0, BatchRows()

    def after_loss(self):
        if not (self.training and self.metric_history.recording):
            return
        loss = self.learn.loss_func.each
        self.smooth, self.smoothed = torch.lerp(loss, torch.as_tensor(self.smooth).to(loss), BETA), self.smoothed + 1
        before = torch.zeros_like(loss, dtype=torch.int64) if self.finite_steps is None else self.finite_steps
        self.finite_steps = before + (loss.isfinite() & (before == len(self.batches)))  # on the device: no wait
        self.batches.append(len(self.yb[0]))
        self.seen = self.seen + self._known(self.yb[0])

    def before_validate(self):
        self.sums, self.count = BatchRows(), 0

    def after_batch(self):
        if not self.training and self.metric_history.recording:
            self.sums.append(self._squares(self.pred, self.yb[0]))
            self.count = self.count + self._known(self.yb[0]) * self.yb[0].shape[-1]

    def _known(self, target: Tensor) -> Tensor | int:
        """The samples of a batch: of each network (n,) where they are padded, else of all."""
        return (~target[..., 0].isnan()).sum(0) if self.learn.loss_func.padded and target.dim() == 3 else len(target)

    def _squares(self, pred: Tensor, target: Tensor) -> Tensor:
        """The squared errors (2, n) of a batch's predictions (b, n, c): as they are, and clamped."""
        target = target if target.dim() == 3 else target[:, None]
        clamped = self.dls.train_ds.clamp(pred)
        errors = [part - target for part in (pred, clamped)]
        if self.learn.loss_func.padded:
            errors = [torch.where(target.isnan(), 0, error) for error in errors]
        return torch.stack([error.square().sum((0, 2)) for error in errors])

    def after_epoch(self):
        if not (self.sums.count and self.metric_history.recording):
            return
        count = torch.as_tensor(self.count).cpu()
        raw, clamped = (self.sums.rows().double().sum(0) / count).tolist()
        losses = (self.smooth / (1 - BETA**self.smoothed)).tolist()
        progress, n, self.sums = self.metric_history.rows[-1], len(raw), BatchRows()
        seen = torch.as_tensor(self.seen).expand(n).tolist()
        for network, rate in enumerate(self.learn.rates):
            row = {"network": network} | {name: progress[name] for name in RECORD_COLUMNS}
            row |= {name: progress[name] / n for name in ("train_seconds", "seconds")}
            row |= {
                "samples_seen": seen[network],
                "lr": progress["lr"] * rate,
                "train_loss": losses[network],
                "valid_loss": raw[network],
            }
            self.rows.append(row | self._quality(clamped[network]))

    def _quality(self, mse: float) -> dict[str, float]:
        value_range = self.dls.train_ds.value_range
        return {} if value_range is None else {"psnr": psnr_from_mse(mse, value_range[1] - value_range[0])}

    def to_frame(
        self,
        network: int | None = None,  # the rows of one network, without that column; None is all
    ) -> pd.DataFrame:
        """The rows as a table."""
        frame = pd.DataFrame(self.rows)
        if network is None or frame.empty:
            return frame
        return frame[frame.network == network].drop(columns="network").reset_index(drop=True)

    def to_csv(
        self,
        path: str | Path,
        network: int | None = None,  # as for `to_frame`; one network's file is what `read_history` reads
    ) -> Path:
        """Write the table as CSV with a header; an existing file is replaced whole."""
        with replacing(path) as temporary:
            self.to_frame(network).to_csv(temporary, index=False)
        return Path(path)

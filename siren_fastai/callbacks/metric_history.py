"""A table of every epoch trained, which outlives `validate`, `lr_find` and further fits."""

import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from fastai.callback.core import Callback
from fastai.learner import Recorder
from fastai.torch_core import rank_distrib

from siren_fastai.analysis.records import RECORD_COLUMNS
from siren_fastai.data.share import samples_of_batch
from siren_fastai.files import replacing, write_json

__all__ = ["MetricHistory"]


class MetricHistory(Callback):
    """Keep a row per training epoch across all fits of the learner; a notebook shows them as a table.

    Columns: epoch (counted over all fits, from 0), fit, opt_steps and samples_seen (both cumulative; the samples are
    those of all processes), train_seconds (training alone, cumulative), seconds (with validation, cumulative), lr, then
    fastai's losses and metrics. fastai's own `recorder.values` is emptied by `validate`, `get_preds`, `lr_find` and the
    next fit; these rows are not. An epoch that is interrupted leaves no row. `read_history` and `siren-fastai analyze`
    read the files.
    """

    order = Recorder.order + 1  # after the Recorder has made the epoch's record

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,  # seconds; `time.process_time` counts the processor's time
    ):
        self.clock = clock
        self.rows, self.fits, self.opt_steps, self.samples_seen = [], 0, 0, 0
        self.seconds, self.train_seconds, self.recording = 0.0, 0.0, False

    def before_fit(self):
        self.recording, self.counted = False, False

    def before_train(self):
        self.recording = not hasattr(self, "lr_finder")
        if self.recording and not self.counted:
            self.fits, self.counted = self.fits + 1, True
        self.started = self.clock()

    def after_step(self):
        self.opt_steps += self.recording

    def after_batch(self):
        if self.recording and self.training:
            self.samples_seen += samples_of_batch(self.learn)

    def after_train(self):
        self.train_seconds += self.recording * (self.clock() - self.started)

    def after_epoch(self):
        if not self.recording:
            return
        self.seconds += self.clock() - self.started
        progress = (self.opt_steps, self.samples_seen, self.train_seconds, self.seconds, self.opt.hypers[-1]["lr"])
        row = dict(zip(RECORD_COLUMNS, (len(self.rows), self.fits - 1, *progress), strict=True))
        names = [name for name in self.recorder.metric_names[1:] if name != "time"]
        self.rows.append(row | dict(zip(names, self.learn.final_record, strict=False)))

    def to_frame(self) -> pd.DataFrame:
        """The rows as a table, one column per quantity; metrics that some fits did not have are missing there."""
        return pd.DataFrame(self.rows)

    def to_csv(self, path: str | Path) -> Path:
        """Write the table as CSV with a header; an existing file is replaced whole. One process of several writes."""
        if rank_distrib():
            return Path(path)
        with replacing(path) as temporary:
            self.to_frame().to_csv(temporary, index=False)
        return Path(path)

    def to_json(self, path: str | Path) -> Path:
        """Write the rows as a JSON list of objects; infinite and nan values become the strings "inf" and "nan".

        Of several processes, one writes.
        """
        return Path(path) if rank_distrib() else write_json(self.rows, path)

    def __repr__(self) -> str:
        if not self.rows:
            return "MetricHistory(no epochs yet)"
        last = list(self.rows[-1].items())[len(RECORD_COLUMNS) :]
        values = ", ".join(f"{name} {value:.4g}" for name, value in last if value is not None)
        return f"MetricHistory({len(self.rows)} epochs in {self.rows[-1]['fit'] + 1} fits; last: {values})"

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False, float_format="%.5g") if self.rows else repr(self)

    def plot(self, columns: list[str] | None = None, x: str = "epoch"):
        """Draw the columns (None: all losses and metrics), one panel each, over `x`, and return the axes."""
        frame = self.to_frame()
        if frame.empty:
            raise ValueError("there is no epoch to draw yet; fit first")
        columns = list(frame.columns[len(RECORD_COLUMNS) :]) if columns is None else list(columns)
        figure, axes = plt.subplots(1, len(columns), figsize=(4 * len(columns), 3), squeeze=False, layout="constrained")
        frame.plot(x=x, y=columns, subplots=True, ax=axes[0], grid=True)
        return axes[0]

"""The record of a fit: history, log lines, checkpoints, and always one complete state to continue from."""

import copy
import math
import random
import time

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException
from torch import Tensor

from siren_fastai.analysis.history import COLUMNS, STEP_COLUMNS, read_history, write_history
from siren_fastai.files import replacing, write_json
from siren_fastai.fits.checkpoint import save_checkpoint
from siren_fastai.fits.folder import OutputFolder
from siren_fastai.fits.presets import CURRENT
from siren_fastai.fits.scores import score
from siren_fastai.fits.settings import FitSettings
from siren_fastai.fits.state import Checkpoint
from siren_fastai.images import save_image
from siren_fastai.render import render

__all__ = ["LOG_LINE", "RecordFit"]

LOG_LINE = "Epoch %d, Total loss %0.6f, Total PSNR %0.6f, Total SSIM %0.6f, iteration time %0.6f"


class RecordFit(Callback):
    """Before each epoch's first update, measure the network and keep a copy of the state; write both at intervals.

    Row e of `rows` is measured before the e-th epoch's updates, on all pixels. `good` is the last complete state, from
    which the fit can be continued: the batches of an epoch depend on the seed and the epoch alone. The first of them is
    written at once, and before it nothing: what the folder held is erased only for a fit that can be continued. A loss
    that is not finite ends the fit; `diverged` is then the epoch. fastai's validation, which would measure again, is
    skipped.
    """

    order = -5  # after TrainEvalCallback has set the epoch up

    def __init__(
        self, settings: FitSettings, place: OutputFolder, target: Tensor, value_range, start: int = 0, say=print
    ):
        self.settings, self.target, self.value_range, self.say = settings, target, value_range, say
        self.place, self.folder, self.begun = place, place.path, False
        self.start, self.rows, self.steps, self.seconds = start, [], [], 0.0
        self.good, self.diverged, self.finished, self.spent = None, None, False, 0.0
        if start:
            self._reread(start)

    def _reread(self, start: int) -> None:
        """Read the rows of a fit that is resumed."""
        history = read_history(self.folder / "history.txt").to_numpy()[:start]
        steps = np.loadtxt(self.folder / "summaries" / "steps.txt", ndmin=2)[: start + 1]
        if len(history) < start or len(steps) < start:
            raise ValueError(
                f"{self.folder}/history.txt ends before epoch {start}, where the checkpoint is: was it truncated?"
            )
        self.rows = [[int(row[0]), *row[1:].tolist()] for row in history]
        self.steps, self.seconds = steps[:start].tolist(), float(steps[-1][3])

    def before_train(self):
        self.n_steps, self.spent = len(self.dls.train), 0.0
        self.whole = self.n_steps == 1 and not self.dls.train.shuffle
        self.dls.train.rng = random.Random(f"{self.settings.seed} {self.epoch}")  # so that any epoch can be resumed
        if not self.whole:
            self._measure(self.predict(), self.epoch)
        self._start_clock()

    def after_pred(self):
        if self.training and self.whole:  # the batch is the image, so the training step has measured already
            self._stop_clock()
            self._measure(self._unit(self.learn.pred.detach().float().cpu().view(self.target.shape)), self.epoch)
            self._start_clock()

    def after_train(self):
        self._stop_clock()

    def before_validate(self):
        raise CancelValidException

    def after_epoch(self):
        if self.spent == 0.0:  # an epoch that was skipped
            return
        per_step, self.seconds, self.spent = self.spent / self.n_steps, self.seconds + self.spent, 0.0
        done, settings = self.epoch + 1, self.settings
        due = self._is_due(settings.log_every)
        if due:
            self.say(LOG_LINE % (*self.rows[-1], per_step))
        if due or done % settings.checkpoint_every == 0:
            self.save(self.state(done))
        if done % settings.checkpoint_every == 0:
            self._save_weights(self.state(done), f"model_epoch_{done:04d}")

    def _is_due(self, every: int) -> bool:
        """Whether one of this epoch's steps has a number that `every` divides."""
        first = self.epoch * self.n_steps
        return -(-first // every) * every < first + self.n_steps

    def predict(self) -> Tensor:
        """Return the image (h, w, c) scaled to [0, 1], not clamped."""
        return self._unit(render(self.model, self.target.shape[:2], grid=self.dls.train_ds.grid, clamp=None))

    def _unit(self, values: Tensor) -> Tensor:
        low, high = self.value_range
        return (values - low) / (high - low)

    def _measure(self, prediction: Tensor, epoch: int) -> None:
        scores = score(prediction, self.target, self.settings.metric_convention)
        if not math.isfinite(scores["mse"]):
            self.diverged = epoch
            raise CancelFitException
        self.good = self.state(epoch)
        self.rows.append([epoch, scores["mse"], scores["psnr"], scores["ssim"]])
        self.steps.append(self._steps_until(epoch))
        if not self.begun:
            self.save()

    def _begin(self, state: Checkpoint) -> None:
        """Take the folder over, now that there is a state to write."""
        self.place.begin()
        path = self.folder / CURRENT
        if self.place.erase and path.is_symlink():
            path.unlink()
        save_checkpoint(state, path)
        self.place.clear(keep=(path, path.with_suffix(".json")))
        save_image(self.target, self.folder / "target.png")
        place = {"logging_root": str(self.folder.parent), "experiment_name": self.folder.name}
        write_json({**place, **self.settings.stored()}, self.folder / "options.json")
        self.begun = True

    def check(self, epoch: int) -> None:
        """Note whether the network diverged in the epoch before `epoch`."""
        if not bool(self.predict().isfinite().all()):
            self.diverged = epoch

    def _steps_until(self, epoch: int) -> list[float]:
        train = self.dls.train
        return [epoch, epoch * len(train), epoch * len(train.dataset), self.seconds, self.opt.hypers[-1]["lr"]]

    def state(self, epoch: int) -> Checkpoint:
        """Return a copy of all that training needs to continue from here."""
        optimizer = copy.deepcopy(self.opt.state_dict()) if self.opt is not None else None
        return Checkpoint(
            copy.deepcopy(self.model),
            tuple(self.target.shape[:2]),
            self.dls.train_ds.grid,
            self.value_range,
            epoch,
            self.settings.seed,
            self.settings.stored(),
            optimizer,
        )

    def save(self, state: Checkpoint | None = None) -> None:
        """Write the history and `model_current`, to resume from, of this state or of the last complete one."""
        state = self.good if state is None else state
        if not self.begun:
            self._begin(state)
        rows = self.rows[: state.epoch]
        if rows:
            write_history(pd.DataFrame(rows, columns=list(COLUMNS)), self.folder / "history.txt")
            with replacing(self.folder / "summaries" / "steps.txt") as temporary:
                steps = [*self.steps[: state.epoch], self._steps_until(state.epoch)]
                np.savetxt(temporary, steps, fmt="%.17g", delimiter="\t", header="\t".join(STEP_COLUMNS))
        save_checkpoint(state, self.folder / CURRENT)

    def finish(self, epoch: int) -> Checkpoint:
        """Write everything after the last epoch and return the final network, without the optimiser's state."""
        self.good = state = self.state(epoch)
        self.save(state)
        final = self._save_weights(state, "model_final")
        self.finished = True
        return final

    def _save_weights(self, state: Checkpoint, name: str) -> Checkpoint:
        weights = copy.copy(state)
        weights.optimizer = None
        save_checkpoint(weights, self.folder / "checkpoints" / f"{name}.safetensors")
        return weights

    def _start_clock(self) -> None:
        self._synchronize()
        self.clock = time.perf_counter()

    def _stop_clock(self) -> None:
        self._synchronize()
        self.spent += time.perf_counter() - self.clock

    def _synchronize(self) -> None:
        if self.dls.device.type == "cuda":
            torch.cuda.synchronize()

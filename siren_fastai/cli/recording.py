"""The record of a fit: history, log lines, checkpoints; always one whole state to go on from."""

import copy
import math
import random
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException
from torch import Tensor

from siren_fastai.analysis.history import COLUMNS, read_history, write_history
from siren_fastai.checkpoint import Checkpoint, save_checkpoint
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.presets import OWN
from siren_fastai.cli.scores import score
from siren_fastai.files import replacing
from siren_fastai.render import render

__all__ = ["LOG_LINE", "RecordFit"]

LOG_LINE = "Epoch %d, Total loss %0.6f, Total PSNR %0.6f, Total SSIM %0.6f, iteration time %0.6f"
STEP_COLUMNS = ("Epoch", "opt_steps", "samples_seen", "train_seconds", "lr")


class RecordFit(Callback):
    """Before each epoch's first update, measure the network and keep a copy of the state; write both now and then.

    Row e of `rows` is measured before the e-th epoch's updates, on all pixels. `good` is the last whole state, from
    which a fit can be continued bit for bit: the batches of an epoch depend on `seed` and epoch alone. A loss that is
    not finite ends the fit; `diverged` is then the epoch. fastai's validation, which would measure again, is left out.
    """

    order = -5  # after TrainEvalCallback has set the epoch up

    def __init__(self, chosen: Chosen, folder: Path, target: Tensor, value_range, start: int = 0, say=print):
        self.chosen, self.folder, self.target, self.value_range, self.say = chosen, folder, target, value_range, say
        self.start, self.rows, self.steps, self.seconds = start, [], [], 0.0
        self.good, self.diverged, self.spent = None, None, 0.0
        if start:
            self._reread(start)

    def _reread(self, start: int) -> None:
        """The rows of an experiment that goes on."""
        history = read_history(self.folder / "history.txt").to_numpy()[:start]
        steps = np.loadtxt(self.folder / "summaries" / "steps.txt", ndmin=2)[: start + 1]
        if len(history) < start or len(steps) < start:
            raise ValueError(
                f"{self.folder}/history.txt ends before epoch {start}, where the checkpoint is: was it cut?"
            )
        self.rows = [[int(row[0]), *row[1:].tolist()] for row in history]
        self.steps, self.seconds = steps[:start].tolist(), float(steps[-1][3])

    def before_train(self):
        self.n_steps, self.spent = len(self.dls.train), 0.0
        self.whole = self.n_steps == 1 and not self.dls.train.shuffle
        self.dls.train.rng = random.Random(
            f"{self.chosen.seed} {self.epoch}"
        )  # not the global one: epochs can be resumed
        if not self.whole:
            self._measure(self.predict(), self.epoch)
        self._wind()

    def after_pred(self):
        if self.training and self.whole:  # the batch is the picture, so the training step has measured already
            self._pause()
            self._measure(self._unit(self.learn.pred.detach().float().cpu().view(self.target.shape)), self.epoch)
            self._wind()

    def after_train(self):
        self._pause()

    def before_validate(self):
        raise CancelValidException

    def after_epoch(self):
        if self.spent == 0.0:  # an epoch that was skipped
            return
        per_step, self.seconds, self.spent = self.spent / self.n_steps, self.seconds + self.spent, 0.0
        done, chosen = self.epoch + 1, self.chosen
        due = self._is_due(chosen.steps_til_summary)
        if due:
            self.say(LOG_LINE % (*self.rows[-1], per_step))
        if due or done % chosen.epochs_til_ckpt == 0:
            self.save(self.state(done))
        if done % chosen.epochs_til_ckpt == 0:
            self._save_weights(self.state(done), f"model_epoch_{done:04d}")

    def _is_due(self, every: int) -> bool:
        """Whether one of this epoch's steps has a number that `every` divides."""
        first = self.epoch * self.n_steps
        return -(-first // every) * every < first + self.n_steps

    def predict(self) -> Tensor:
        """The picture (h, w, c) told in [0, 1], not cut."""
        return self._unit(render(self.model, self.target.shape[:2], grid=self.dls.train_ds.grid, clamp=None))

    def _unit(self, values: Tensor) -> Tensor:
        low, high = self.value_range
        return (values - low) / (high - low)

    def _measure(self, prediction: Tensor, epoch: int) -> None:
        scores = score(prediction, self.target, self.chosen.metric_convention)
        if not math.isfinite(scores["mse"]):
            self.diverged = epoch
            raise CancelFitException
        self.good = self.state(epoch)
        self.rows.append([epoch, scores["mse"], scores["psnr"], scores["ssim"]])
        self.steps.append(self._steps_until(epoch))

    def check(self, epoch: int) -> None:
        """Look at the network after the last epoch: has it diverged?"""
        if not bool(self.predict().isfinite().all()):
            self.diverged = epoch

    def _steps_until(self, epoch: int) -> list[float]:
        train = self.dls.train
        return [epoch, epoch * len(train), epoch * len(train.dataset), self.seconds, self.opt.hypers[-1]["lr"]]

    def state(self, epoch: int) -> Checkpoint:
        """A copy of all that training needs to go on from here."""
        optimizer = copy.deepcopy(self.opt.state_dict()) if self.opt is not None else None
        return Checkpoint(
            copy.deepcopy(self.model),
            tuple(self.target.shape[:2]),
            self.dls.train_ds.grid,
            self.value_range,
            epoch,
            self.chosen.seed,
            {name: value for name, value in self.chosen.values.items() if name not in OWN},
            optimizer,
        )

    def save(self, state: Checkpoint | None = None) -> None:
        """Write the history and `model_current`, for --resume, of this state or of the last whole one."""
        state = self.good if state is None else state
        rows = self.rows[: state.epoch]
        if rows:
            write_history(pd.DataFrame(rows, columns=list(COLUMNS)), self.folder / "history.txt")
            with replacing(self.folder / "summaries" / "steps.txt") as temporary:
                steps = [*self.steps[: state.epoch], self._steps_until(state.epoch)]
                np.savetxt(temporary, steps, fmt="%.17g", delimiter="\t", header="\t".join(STEP_COLUMNS))
        save_checkpoint(state, self.folder / "checkpoints" / "model_current.safetensors")

    def finish(self, epoch: int) -> Checkpoint:
        """Write everything after the last epoch; returns the final network, without the optimiser's state."""
        self.good = state = self.state(epoch)
        self.save(state)
        return self._save_weights(state, "model_final")

    def _save_weights(self, state: Checkpoint, name: str) -> Checkpoint:
        weights = copy.copy(state)
        weights.optimizer = None
        save_checkpoint(weights, self.folder / "checkpoints" / f"{name}.safetensors")
        return weights

    def _wind(self) -> None:
        self._synchronize()
        self.clock = time.perf_counter()

    def _pause(self) -> None:
        self._synchronize()
        self.spent += time.perf_counter() - self.clock

    def _synchronize(self) -> None:
        if self.dls.device.type == "cuda":
            torch.cuda.synchronize()

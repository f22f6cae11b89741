"""Go back to a healthy state when training goes wrong."""

import math
import warnings

import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler
from fastai.torch_core import rank_distrib
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from siren_fastai.callbacks.learner_state import LearnerState, has_rate_schedule, scale_rates, skips_steps
from siren_fastai.health.checkup import Checkup
from siren_fastai.health.outputs import all_finite, constant_channels, gradient_norm, unit_health
from siren_fastai.processes import sum_of_all, unwrapped

__all__ = ["TrainingWheels"]


class TrainingWheels(Callback):
    """Keep a healthy copy of the training state; when training goes wrong, restore it and lower the learning rate.

    The copy holds the network, the optimiser's state, the scaler of mixed precision and the global random states. It is
    taken at a fit's first batch, then every `every` steps or later, while all is well; there is one at a time.
    Training has gone wrong if the loss or a gradient isn't finite; if the loss is above `factor` times its running
    median for `patience` steps in a row, so not for a single outlier; or if outputs that varied over the batch are
    constant in `patience` checks in a row while the targets vary. Losses stay on the device and are read every `check`
    steps, or at each step once something is suspicious; at the end, what is left is read, and the weights are too.
    A revert multiplies the learning rate by `lr_factor` for the rest of the fit, whatever schedule sets it. The
    schedule and the data go on from where they are: the steps since the copy are lost. Each revert prints a line and
    adds a row to `learn.training_wheels.reverts`; one more than `reverts` in a fit restores the copy and raises.
    A fit without reverts has the weights that it would have without the callback, unless `clip` is given. Validation,
    `get_preds` and `lr_find` are left alone. With mixed precision, steps that the scaler skips are no fault. Of several
    processes, all go back together. Ctrl-C skips fastai's `after_fit`: the copy then stays until the next fit, and
    `learn.training_wheels.restore()` puts it back.
    Raises: ValueError for settings that can't work; in a fit RuntimeError if there is no healthy state to begin with,
        or after too many reverts.
    Source: note 004.
    """

    order, run_valid = ParamScheduler.order + 1, False  # after what sets rates, unscales gradients and records losses
    _stateattrs = ("healthy", "checkup", "unread", "grad_norm")

    def __init__(
        self,
        every: int = 20,  # steps between healthy copies, at least
        check: int = 10,  # steps between readings of the losses
        factor: float = 3.0,  # how many times the running median of the loss is too high; 1.5 if it is logarithmic
        window: int = 100,  # losses that the median is taken of
        patience: int = 5,  # high losses, or checks with constant outputs, in a row
        reverts: int = 3,  # that a fit may have
        lr_factor: float = 0.5,  # of the learning rate at each revert; 1 keeps it
        clip: float | None = None,  # norm that gradients are clipped to at each step, such as 1.0; None: no clipping
        keep: str = "device",  # where the copy is: "device", or "cpu" to spare a GPU's memory
    ):
        _check(every=every, check=check, reverts=reverts, lr_factor=lr_factor, clip=clip, keep=keep)
        Checkup(factor, window, patience)  # or ValueError
        self.every, self.check_every, self.limits = every, check, (factor, window, patience)
        self.max_reverts, self.lr_factor, self.clip_norm, self.keep = reverts, lr_factor, clip, keep
        self.reverts, self.fits = [], 0
        self._init_state()

    def _init_state(self):
        """fastcore's: after the constructor, and after loading, when the attributes in `_stateattrs` are missing."""
        self.healthy, self.checkup, self.unread, self.grad_norm = None, None, [], None

    def before_fit(self):
        self.watching, self.begun = False, False

    def before_train(self):
        if not self.begun:
            self.begun, self.watching = True, not hasattr(self, "lr_finder")
            self._init_state()
            self.checkup, self.fits = Checkup(*self.limits), self.fits + self.watching
            self.steps_seen, self.rate_scale, self.fit_reverts = 0, 1.0, 0
            self.measure, self.alarm, self.fault, self.warned, self.ended = False, False, None, False, False

    def before_batch(self):
        if self.watching and self.rate_scale != 1 and has_rate_schedule(self.learn):
            scale_rates(self.learn, self.rate_scale)

    def after_loss(self):
        if self.watching and len(self.yb):
            self.unread.append(self.loss.detach().mean())
            if self.alarm or self.steps_seen % self.check_every == 0:
                self._look()
            self.steps_seen += 1

    def before_step(self):
        if self.watching and self.clip_norm is not None:
            self.grad_norm = clip_grad_norm_(self.model.parameters(), self.clip_norm)
        elif self.watching and self.measure:
            self.grad_norm, self.measure = gradient_norm(self.model.parameters()), False

    def after_batch(self):
        if self.watching and self.fault:  # not before: fastai's Recorder has the batch's loss by now
            self._revert()

    def after_train(self):
        if self.epoch == self.n_epoch - 1:
            self._look_at_end()

    def after_fit(self):
        if self.watching:
            self.unread = []  # of a fit that ended early: fastai's SaveModelCallback may have put back its best network
            self._look_at_end()
            self.watching, self.healthy = False, None

    def task_changed(self):
        """Judge the losses from here on by themselves, because what the network has to do is another thing now."""
        if self.checkup is not None:
            self.checkup.watch.clear()
            self.unread = []

    def restore(self) -> None:
        """Put the healthy copy back, for instance after Ctrl-C. Raises: ValueError if there is none."""
        if self.healthy is None:
            raise ValueError("there is no healthy copy: it is kept from the first batch of a fit to the fit's end")
        self.healthy.restore_(self.learn)

    def to_frame(self) -> pd.DataFrame:
        """The reverts of all fits as a table, one row each."""
        return pd.DataFrame(self.reverts)

    def _look(self):
        """Read the losses and judge them; keep a copy of the state if all is well and it is time."""
        losses, self.unread, self.measure = torch.stack(self.unread).tolist(), [], True  # waits for the device
        norm = 0.0 if self.grad_norm is None else float(self.grad_norm)
        fault = self.checkup.look(losses, _constant(self.pred, self.yb), norm, skips_steps(self.learn))
        state = [fault is not None, self.checkup.suspicious, not self.checkup.healthy]
        faults, alarms, unhealthy = sum_of_all(torch.tensor(state, dtype=torch.float, device=self.loss.device)).tolist()
        self.alarm = bool(alarms)
        if faults:
            self.fault = fault or "another process had a fault"
        elif not unhealthy and (self.healthy is None or self.steps_seen - self.healthy.step >= self.every):
            earlier, self.healthy = self.healthy, None  # there is one copy at a time
            self.healthy = LearnerState(self.learn, self.steps_seen, self.keep, earlier)
            self.healthy_scale = self.rate_scale
            self.checkup.kept()
        self._warn_once()

    def _look_at_end(self):
        """Judge the losses that no check has read, and the weights after the last step."""
        if not self.watching or self.ended or not self.steps_seen:
            return
        losses, self.unread, self.ended = [float(loss) for loss in self.unread], [], True
        self.fault = self.checkup.look(losses, tolerant=skips_steps(self.learn))
        if self.fault is None and not all_finite(self.model.parameters()):
            self.fault = "a weight isn't finite after the last step"
        faulty = torch.tensor(float(self.fault is not None), device=self.loss.device)
        if sum_of_all(faulty):
            self.fault = self.fault or "another process had a fault"
            self._revert()

    def _revert(self):
        if self.healthy is None:
            raise RuntimeError(
                f"TrainingWheels: {self.fault}, and there is no healthy state to go back to. Look at the data, the "
                "loss function and the first weights, or lower the learning rate"
            )
        row = dict(fit=self.fits - 1, epoch=self.epoch, step=self.steps_seen - 1, reason=self.fault)
        row |= dict(loss=self.checkup.last_loss, median=self.checkup.watch.median, restored_step=self.healthy.step)
        units = unit_health(unwrapped(self.model), *self.xb)  # the buffers that it changes are restored
        row |= dict(gradient_norm=math.nan if self.grad_norm is None else float(self.grad_norm), **units)
        self.restore()
        self.checkup.restored()
        self.unread, self.grad_norm, self.alarm, self.fault = [], None, False, None
        self.rate_scale, self.fit_reverts = self.rate_scale * self.lr_factor, self.fit_reverts + 1
        self._lower_rates()
        self.reverts.append(row | dict(lr=self.opt.hypers[-1]["lr"]))
        self._report(self.reverts[-1])

    def _lower_rates(self):
        if has_rate_schedule(self.learn):
            scale_rates(self.learn, self.lr_factor)
        else:  # begin with the rates of the copy: those of now may be what has gone wrong
            self.opt.set_hyper("lr", self.healthy.rates)
            scale_rates(self.learn, self.rate_scale / self.healthy_scale)

    def _report(self, row: dict):
        happened = f"TrainingWheels: {row['reason']} (step {row['step']})"
        if self.fit_reverts > self.max_reverts:
            raise RuntimeError(
                f"{happened}, after {self.max_reverts} reverts in this fit. The network is back at step "
                f"{row['restored_step']}; `learn.training_wheels.to_frame()` has what was seen. Lower the learning "
                "rate, clip gradients (`clip=1.0`), or look for bad samples in the data"
            )
        if not rank_distrib():
            print(f"{happened}: back to step {row['restored_step']}, learning rate now {row['lr']:.3g}", flush=True)

    def _warn_once(self):
        never = self.checkup.never_varied
        if never and not self.warned and self.steps_seen >= self.limits[1]:
            self.warned = True
            warnings.warn(
                f"TrainingWheels: the outputs were constant in {never} when the fit began and still are after "
                f"{self.steps_seen} steps, though the targets vary: there is no better state to go back to. Try other "
                "first weights, another output activation or a lower learning rate",
                stacklevel=2,
            )


def _constant(outputs, targets: tuple) -> list[bool]:
    """The channels of the outputs that are constant, if there are outputs and targets that can be judged."""
    judged = isinstance(outputs, Tensor) and outputs.dim() and isinstance(targets[0], Tensor)
    return constant_channels(outputs, targets[0]).tolist() if judged else []


def _check(**settings) -> None:
    """Raise ValueError for settings that can't work."""
    for name, least in (("every", 1), ("check", 1), ("reverts", 0)):
        if not isinstance(settings[name], int) or settings[name] < least:
            raise ValueError(f"`{name}` must be an integer of {least} or more, got {settings[name]!r}")
    if not 0 < settings["lr_factor"] <= 1:
        raise ValueError(f"`lr_factor` must be above 0 and at most 1, got {settings['lr_factor']!r}")
    if settings["clip"] is not None and not settings["clip"] > 0:
        raise ValueError(f"`clip` must be a norm above 0, or None, got {settings['clip']!r}")
    if settings["keep"] not in ("device", "cpu"):
        raise ValueError(f'`keep` must be "device" or "cpu", got {settings["keep"]!r}')

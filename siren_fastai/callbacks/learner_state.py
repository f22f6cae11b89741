"""What a Learner's training can go back to, and its learning rates, whatever sets them."""

from fastai.callback.schedule import ParamScheduler
from fastai.callback.training import GradientAccumulation
from fastai.learner import Learner

from siren_fastai.health.state import TrainingState

__all__ = ["LearnerState", "has_rate_schedule", "scale_rates", "skips_steps"]


class LearnerState:
    """A copy of a learner's `TrainingState`, of its learning rates, and of the smoothed loss that fastai shows."""

    def __init__(
        self,
        learn: Learner,
        step: int,  # of the fit, at which it is copied
        keep: str = "device",  # or "cpu"
        into: "LearnerState | None" = None,  # an earlier copy, whose memory is used again
    ):
        device, earlier = None if keep == "device" else keep, into and into.state
        self.state = TrainingState.of(learn.model, learn.opt, _scaler(learn), device, earlier)
        self.step = step
        self.rates = [hyper["lr"] for hyper in learn.opt.hypers]
        self.smooth_loss = (learn.recorder.smooth_loss.count, learn.recorder.smooth_loss.val) if _shows(learn) else None

    def restore_(self, learn: Learner) -> None:
        """Put it back, without gradients. Raises: ValueError as `TrainingState.restore_`."""
        self.state.restore_(learn.model, learn.opt, _scaler(learn))
        learn.opt.zero_grad()
        for callback in learn.cbs:
            if isinstance(callback, GradientAccumulation):
                callback.count = 0
        if self.smooth_loss is not None and _shows(learn):
            learn.recorder.smooth_loss.count, learn.recorder.smooth_loss.val = self.smooth_loss


def scale_rates(learn: Learner, factor: float) -> None:
    """Multiply the learning rate of each parameter group."""
    learn.opt.set_hyper("lr", [hyper["lr"] * factor for hyper in learn.opt.hypers])


def has_rate_schedule(learn: Learner) -> bool:
    """Whether a schedule sets the rate anew at each batch."""
    return any(isinstance(callback, ParamScheduler) and "lr" in callback.scheds for callback in learn.cbs)


def skips_steps(learn: Learner) -> bool:
    """Whether a scaler of mixed precision skips steps whose gradients aren't finite."""
    scaler = _scaler(learn)
    return scaler is not None and scaler.is_enabled()


def _scaler(learn: Learner):
    """The scaler that fastai's `MixedPrecision` gives the learner; not what the network may have by that name."""
    return vars(learn).get("scaler")


def _shows(learn: Learner) -> bool:
    return hasattr(learn, "recorder")

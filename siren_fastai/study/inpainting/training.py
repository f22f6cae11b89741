"""Training a study's network that fills holes for a number of samples, evaluated evenly over them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler, SchedCos
from fastai.callback.tracker import TerminateOnNaNCallback
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import Tensor, nn

from siren_fastai.callbacks.count_samples import CountSamples, epochs_for
from siren_fastai.callbacks.curriculum import Curriculum
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.inpainting.losses import InpaintingLoss
from siren_fastai.optimizers import OPTIMIZERS
from siren_fastai.study.course import Course, EvaluateEvenly, clock_of
from siren_fastai.study.inpainting.images import holes_of
from siren_fastai.study.inpainting.scores import HISTORY_COLUMNS
from siren_fastai.study.inpainting.settings import hole_sizes

__all__ = ["Trained", "train"]


@dataclass(frozen=True)
class Trained:
    """How training went, and three columns of the table."""

    course: Course
    train_loss: float | None
    reverts: int
    gave_up: bool


def train(
    settings: Mapping,  # complete
    dls: DataLoaders,
    model: nn.Module,  # trained in place
    evaluate: Callable[[], dict],  # what the history says of the model at this time
) -> Trained:
    """Train for `max_samples`.

    Seconds are the processor's, without evaluations; on a GPU, the clock's. Without wheels, a loss that is not a number
    ends the fit; with them, too many reverts do.
    """
    most = settings["max_samples"]
    watch = EvaluateEvenly(evaluate, most, settings["evaluations"], clock_of(dls.device))
    wheels = TrainingWheels() if settings["wheels"] else TerminateOnNaNCallback()
    options = dict(opt_func=OPTIMIZERS[settings["optimizer"]], lr=settings["lr"], wd=settings["wd"])
    learn = Learner(dls, model, loss_of(settings), cbs=[CountSamples(most), watch, wheels, *_more(settings)], **options)
    gave_up = _gave_up(learn, epochs_for(most, dls.train), wheels)
    scale = settings["value_range"] ** (1 if settings["loss"] == "l1" else 2)
    loss = float(learn.recorder.smooth_loss.value) / scale
    return Trained(watch.course(HISTORY_COLUMNS), loss, len(getattr(wheels, "reverts", ())), gave_up)


def _gave_up(learn: Learner, epochs: int, wheels: Callback) -> bool:
    """Fit, and return whether training wheels ended it after too many reverts, with the last healthy state."""
    try:
        with learn.no_bar(), learn.no_logging():
            learn.fit(epochs)
    except RuntimeError as error:
        if not getattr(wheels, "reverts", ()) or "TrainingWheels: " not in str(error):
            raise
        return True
    return False


def loss_of(settings: Mapping) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss of outputs in the network's range, given targets from 0 to 1 and masks."""
    loss = InpaintingLoss(settings["hole_weight"], 1, settings["seam"], kind=settings["loss"])
    return lambda output, target, mask: loss(output, settings["value_range"] * target, mask)


def _more(settings: Mapping) -> list[Callback]:
    """The rate's schedule, the holes' and the gradient's greatest norm, as far as the settings have them."""
    kinds = hole_sizes(settings)
    cbs = [Curriculum("train_ds.holes", {i / len(kinds): holes_of(settings, kind) for i, kind in enumerate(kinds)})]
    cbs = cbs if len(kinds) > 1 else []
    cbs += [ParamScheduler({"lr": SchedCos(settings["lr"], 0.0)})] if settings["schedule"] == "cosine" else []
    return cbs + ([GradientClip(settings["clip"])] if settings["clip"] else [])

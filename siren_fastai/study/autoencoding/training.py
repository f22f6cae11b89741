"""Training a study's autoencoder for a number of samples, evaluated evenly over them."""

from collections.abc import Callable, Mapping

from fastai.callback.schedule import ParamScheduler, SchedCos
from fastai.callback.tracker import TerminateOnNaNCallback
from fastai.learner import Learner
from torch import nn

from siren_fastai.autoencoder.model import Autoencoder
from siren_fastai.callbacks.code_spread import CodeSpread
from siren_fastai.callbacks.count_samples import CountSamples, epochs_for
from siren_fastai.data.picture_loaders import PictureDataLoaders
from siren_fastai.optimizers import OPTIMIZERS
from siren_fastai.study.autoencoding.scores import HISTORY_COLUMNS
from siren_fastai.study.course import Course, EvaluateEvenly, clock_of

__all__ = ["train"]


def train(
    settings: Mapping,  # complete
    dls: PictureDataLoaders,
    model: Autoencoder,  # trained in place
    evaluate: Callable[[], dict],  # what the history says of the model at this time
) -> Course:
    """Train for `max_samples`.

    Seconds are the processor's, without evaluations; on a GPU, the clock's. A loss that is not a number ends the fit.
    """
    most = settings["max_samples"]
    watch = EvaluateEvenly(evaluate, most, settings["evaluations"], clock_of(dls.device))
    cbs = [CountSamples(most), watch, TerminateOnNaNCallback()]
    cbs += [CodeSpread(settings["spread"])] if settings["spread"] else []
    cbs += [ParamScheduler({"lr": SchedCos(settings["lr"], 0.0)})] if settings["schedule"] == "cosine" else []
    loss = nn.L1Loss() if settings["loss"] == "l1" else nn.MSELoss()
    options = dict(opt_func=OPTIMIZERS[settings["optimizer"]], lr=settings["lr"], wd=settings["wd"], cbs=cbs)
    learn = Learner(dls, model, loss, **options)
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs_for(most, dls.train))
    return watch.course(HISTORY_COLUMNS)

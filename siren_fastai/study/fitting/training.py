"""Training a study's fit: the schedule, what is recorded on the way, and an end if the loss is not a number."""

import math
import time
from collections.abc import Mapping

from fastai.callback.core import Callback, CancelValidException
from fastai.callback.tracker import TerminateOnNaNCallback
from fastai.learner import Learner
from torch import Tensor, nn

from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.codec.clusters import reassign_
from siren_fastai.data import PixelDataLoaders
from siren_fastai.freeze import freeze_, unfreeze_
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.flops import training_flops
from siren_fastai.optimizers import OPTIMIZERS
from siren_fastai.study.fitting.network import Network

__all__ = ["epochs_of", "evaluated_every", "fit_by_schedule", "flops_per_sample", "recorders", "train"]

SETTLED = 0.2  # share of the fit at its end in which no cell changes its network


class _Evaluate(Callback):
    """Validate only after the first epoch of a fit, then every so many, and after the last: `count` times at most."""

    order = TerminateOnNaNCallback.order + 1

    def __init__(self, count: int):
        self.count = count

    def before_validate(self):
        last = self.epoch == self.n_epoch - 1
        if self.epoch % evaluated_every(self.n_epoch, self.count) and not last:
            raise CancelValidException


class _Reassign(Callback):
    """Give each cell to the network with the smallest error there, `rounds` times in a fit."""

    def __init__(self, clusters: ClusterNetworks, rounds: int):
        self.clusters, self.rounds = clusters, rounds

    def after_train(self):
        due = [round((1 - SETTLED) * self.n_epoch * (i + 1) / self.rounds) for i in range(self.rounds)]
        if self.epoch + 1 in due:
            data = self.dls.valid_ds
            reassign_(self.clusters, data.coords, data.values)


def evaluated_every(
    epochs: int,
    count: int,  # 2 or more
) -> int:
    """Return the epochs from one evaluation to the next, so that there are at most `count` with the first and last."""
    return max(1, math.ceil((epochs - 1) / (count - 1)))


def epochs_of(
    settings: Mapping,  # complete
    dls: PixelDataLoaders,
) -> int:
    """Return the epochs to train for; `steps` are rounded up to whole epochs."""
    return settings["epochs"] or math.ceil(settings["steps"] / len(dls.train))


def flops_per_sample(
    settings: Mapping,  # complete
    model: nn.Module,
    batch: Tensor,  # (n, d) coordinates of a training batch
) -> float:
    """Return the operations of training for each sample, without those for the gradients of frozen layers."""
    frozen = freeze_(model, settings["freeze"]) if _freezes(settings) else []
    try:
        return training_flops(model, batch) / len(batch)
    finally:
        unfreeze_(frozen)


def _freezes(settings: Mapping) -> bool:
    return settings["freeze"] not in (None, [])


def train(
    settings: Mapping,  # complete
    dls: PixelDataLoaders,
    network: Network,  # trained in place
    cbs: list[Callback],  # further ones
) -> tuple[PixelLearner, MetricHistory]:
    """Train, and return the learner with its history: seconds in it are the processor's, evaluations apart.

    On a GPU the seconds are the clock's. A loss that is not a number ends the fit.
    """
    history, own = recorders(settings, dls)
    own += [TerminateOnNaNCallback()]
    moves = network.clusters is not None and settings["cluster_by"] == "error"
    own += [_Reassign(network.clusters, settings["reassignments"])] if moves else []
    options = dict(opt_func=OPTIMIZERS[settings["optimizer"]], lr=settings["lr"], wd=settings["wd"])
    learn = siren_learner(dls, network.model, cbs=[*own, *cbs], **options)
    fit_by_schedule(learn, settings, dls)
    return learn, history


def recorders(
    settings: Mapping,  # complete
    dls: PixelDataLoaders,
) -> tuple[MetricHistory, list[Callback]]:
    """Return the history of a fit, and it with the callbacks that evaluate and freeze as the settings say."""
    history = MetricHistory(clock=time.process_time if dls.device.type == "cpu" else time.perf_counter)
    frozen = [FreezeLayers(settings["freeze"])] if _freezes(settings) else []
    return history, [history, _Evaluate(settings["evaluations"]), *frozen]


def fit_by_schedule(
    learn: Learner,  # trained, at its own `lr`, in silence
    settings: Mapping,  # complete
    dls: PixelDataLoaders,
) -> None:
    """Train for the epochs and by the schedule of the settings."""
    fits = {"constant": "fit", "flat_cos": "fit_flat_cos", "one_cycle": "fit_one_cycle", "fast": "fit_fast"}
    with learn.no_bar(), learn.no_logging():
        getattr(learn, fits[settings["schedule"]])(epochs_of(settings, dls), learn.lr)

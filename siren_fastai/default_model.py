"""The network that a signal gets by default, and whether one fits it."""

from collections.abc import Sequence

import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import nn

from siren_fastai.data import PixelDataset
from siren_fastai.init import init_for_signal_
from siren_fastai.models.siren import check_dims, siren_model

__all__ = ["HIDDEN", "check_widths", "fast_model", "model_for"]

HIDDEN = (256, 256, 256)


def fast_model(
    dls: DataLoaders,  # of one signal; the network reads its coordinates and has its channels as outputs
    hidden: Sequence[int] = HIDDEN,  # widths of the hidden layers
) -> nn.Module:
    """The default network for `dls`: a SIREN drawn by the "fast" scheme for the signal, see `init_for_signal_`.

    Its output starts at the signal's mean, and its first frequencies follow the number of samples along each axis.
    """
    data = dls.train_ds
    model = siren_model([data.coords.shape[1], *hidden, data.n_channels])
    return init_for_signal_(model, "fast", data.values, data.axis_samples)


def model_for(
    dls: DataLoaders,  # of one signal
    model: nn.Module | Sequence[int] | None,  # as for `siren_learner`
) -> nn.Module:
    """A network that is given as it is; else `fast_model`, of the widths that are given.

    Raises: ValueError for widths that don't begin and end with those of the data.
    """
    if model is None:
        return fast_model(dls)
    if isinstance(model, nn.Module):
        return model
    dims, data = check_dims(model), dls.train_ds
    ends = [data.coords.shape[1], data.n_channels]
    if [dims[0], dims[-1]] != ends:
        raise ValueError(f"`model` must go from {ends[0]} coordinates to {ends[1]} channels as the data, got {dims}")
    return fast_model(dls, dims[1:-1])


@torch.no_grad()
def check_widths(
    learn: Learner,  # of one signal
    any_output: bool,  # whether its loss may take other outputs than channels
) -> None:
    """Pass two positions through the network, as it is in evaluation.

    Raises: ValueError if it doesn't read the data's positions or has other outputs than the data has channels.
    """
    data = learn.dls.train_ds
    if not isinstance(data, PixelDataset) or not len(data):
        return
    model = getattr(learn.model, "_orig_mod", learn.model)  # a compiled one would be compiled for these two
    like = next(model.parameters(), data.coords)
    (d, c), training = (data.coords.shape[1], data.n_channels), model.training
    needed = f"positions of {d} coordinates and give {c} channels, as `siren_model([{d}, 256, 256, {c}])` does"
    try:
        output = model.eval()(data.coords[:2].to(like))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"`model` must read {needed}; it fails: {error}") from error
    finally:
        model.train(training)
    if not any_output and output.shape[1:] != (c,):
        raise ValueError(f"`model` must read {needed}; it gives {tuple(output.shape[1:])} for each")

"""`gradient_learner`: an image from its gradients alone. The network is the image; what is fitted is its derivative."""

import copy
from collections.abc import Sequence

import torch
from fastcore.meta import delegates
from torch import Tensor, nn

from siren_fastai.data.gradients import GradientDataLoaders
from siren_fastai.default_model import HIDDEN
from siren_fastai.figures import show_pictures
from siren_fastai.init import output_layer
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.models.derivatives import GradientOf
from siren_fastai.models.siren import check_dims, siren_model
from siren_fastai.render import render

__all__ = ["GradientLearner", "gradient_learner"]


class GradientLearner(PixelLearner):
    """A Learner of an image's gradients: `render` and `show_results` give the image, `predict` a gradient."""

    @delegates(render, but=["shape"])
    def render(
        self,
        size: int | Sequence[int] | None = None,  # as for `siren_fastai.render.render`; None is as dense as the data
        region: Sequence[float] | None = None,  # the part of [-1, 1]^d to sample; None is everything
        clamp: tuple[float, float] | None = (0.0, 1.0),  # values are clamped to this (low, high); None leaves them
        grid: str | None = None,  # where samples lie in the region; None is the data's grid
        **kwargs,
    ) -> Tensor:  # (*size, c) float32 on the CPU
        """Sample the signal whose gradients were fitted. Its mean over the data's positions is that of the data."""
        data = self.dls.train_ds
        grid = data.grid if grid is None else grid
        values = render(self.model.network, size, region, grid, None, shape=data.shape, **kwargs) + self._offset()
        return values if clamp is None else values.clamp_(*clamp)

    def signal_network(self) -> nn.Module:
        """A copy of the network that is the signal, mean included: for `save_page`, or `siren_learner` to train on.

        Raises: ValueError if it doesn't end in a linear layer with a bias, which takes up the mean.
        """
        network = copy.deepcopy(self.model.network)
        output = output_layer(network)
        if output is None or output.bias is None:
            raise ValueError(f"the network must end in a linear layer with a bias, got {output}: use `learn.render`")
        with torch.no_grad():
            output.bias += self._offset().to(output.bias)
        return network

    def show_results(
        self,
        ds_idx: int = 1,  # fastai's, without effect: the whole signal is drawn
        **kwargs,  # of `show_pictures`
    ):
        """Draw the fitted signal, between 0 and 1."""
        return show_pictures({"image from its gradients": self.render()}, **kwargs)

    def _offset(self) -> Tensor:
        """What is missing to the data's mean, for each channel (c,)."""
        data = self.dls.train_ds
        values = render(self.model.network, None, None, data.grid, None, shape=data.shape)
        return data.mean - values.flatten(0, -2).double().mean(0).float()


@delegates(siren_learner, but=["model"])
def gradient_learner(
    dls: GradientDataLoaders,  # of one signal's gradients
    network: nn.Module | Sequence[int] | None = None,  # coordinates to values, or its widths; None is [d, 256 x 3, c]
    **kwargs,
) -> GradientLearner:
    """A Learner whose network has the gradients of `dls`: `learn.fit_fast(n)`, then `learn.render()`.

    Raises: TypeError for loaders without gradients; ValueError for a network of other inputs or outputs.
    """
    if not hasattr(getattr(dls, "train_ds", None), "mean"):
        raise TypeError("`dls` must be `GradientDataLoaders`: `GradientDataLoaders.from_image` makes them of an image")
    return siren_learner(dls, GradientOf(_network_for(dls, network)), kind=GradientLearner, **kwargs)


def _network_for(dls: GradientDataLoaders, network: nn.Module | Sequence[int] | None) -> nn.Module:
    if isinstance(network, nn.Module):
        return network
    data = dls.train_ds
    ends = [data.coords.shape[1], len(data.mean)]
    dims = [ends[0], *HIDDEN, ends[1]] if network is None else check_dims(network)
    if [dims[0], dims[-1]] != ends:
        raise ValueError(f"`network` must go from {ends[0]} coordinates to {ends[1]} channels as the data, got {dims}")
    return siren_model(dims)  # "fast" has higher frequencies, which are free between the samples: 21 dB instead of 26

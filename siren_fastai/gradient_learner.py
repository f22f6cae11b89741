"""`gradient_learner`: an image from its gradients alone. The network is the image; what is fitted is its derivative."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from fastai.learner import Learner, Metric
from fastcore.meta import delegates
from torch import Tensor, nn

from siren_fastai.data.gradients import GradientDataLoaders
from siren_fastai.default_model import HIDDEN
from siren_fastai.error_maps import absolute_error
from siren_fastai.figures import show_pictures
from siren_fastai.init import init_for_signal_, output_layer
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.models.derivatives import GradientOf
from siren_fastai.models.siren import check_dims, siren_model
from siren_fastai.page.save import save_page
from siren_fastai.quality import psnr
from siren_fastai.render import render

__all__ = ["GradientLearner", "ImagePSNR", "gradient_learner"]


class GradientLearner(PixelLearner):
    """A Learner of an image's gradients: `render` and `show_results` give the image, `predict` a gradient.

    `learn.export` and `learn.save` keep the fitted derivative, `save_checkpoint` and `to_html` the image.
    """

    @delegates(render, but=["shape"])
    def render(
        self,
        size: int | Sequence[int] | None = None,  # as for `siren_fastai.render.render`; None is the signal's
        region: Sequence[float] | None = None,  # the part of [-1, 1]^d to sample; None is everything
        clamp: tuple[float, float] | str | None = "data",  # "data" is the signal's `value_range`; None doesn't clamp
        grid: str | None = None,  # where samples lie in the region; None is the signal's grid
        **kwargs,
    ) -> Tensor:  # (*size, c) float32 on the CPU
        """Sample the signal whose gradients were fitted; at the signal's samples it has the mean that is known."""
        signal = self.dls.train_ds.signal
        grid = signal.grid if grid is None else grid
        clamp = signal.value_range if isinstance(clamp, str) and clamp == "data" else clamp
        values = render(self.model.network, size, region, grid, None, shape=signal.shape, **kwargs) + self._offset()
        return values if clamp is None else values.clamp_(*clamp)

    def signal_network(self) -> nn.Module:
        """A copy of the network that is the signal, mean included, for `siren_learner` to train on.

        Raises: ValueError if it doesn't end in a linear layer with a bias, which takes up the mean.
        """
        network, offset = copy.deepcopy(self.model.network), self._offset()
        output = output_layer(network)
        if output is None or output.bias is None:
            raise ValueError(f"the network must end in a linear layer with a bias, got {output}: use `learn.render`")
        before = self._samples(network)
        with torch.no_grad():
            output.bias += offset.to(output.bias)
        if not torch.allclose(self._samples(network), before + offset, rtol=1e-4, atol=1e-3):
            raise ValueError(
                "the network must give the values of its last linear layer as they are, or the bias can't take up the "
                "signal's mean: use `learn.render`"
            )
        return network

    def to_html(
        self,
        path: str | os.PathLike,  # the file to write, such as "cat.html"
        title: str | None = None,  # shown in a corner; None is the file's name
        weights: str = "auto",  # as for `PixelLearner.to_html`
    ) -> Path:
        """Write the fitted image as a web page with endless zoom, one file that loads nothing; return its path.

        A corner says the image's size, and the PSNR if the image is known.
        Raises: ValueError for a signal that isn't an image; as `signal_network` and `save_page`.
        """
        signal = self.dls.train_ds.signal
        if len(signal.shape) != 2:
            raise ValueError(f"a page shows an image, which has two axes, got {len(signal.shape)}: use `render`")
        options = {"grid": signal.grid, "psnr": self.image_psnr(), "weights": weights}
        return save_page(self.signal_network(), path, signal.shape, title, **options)

    def image_psnr(self) -> float | None:
        """The PSNR in dB of `render()` for the image in [0, 1] that the gradients are of; None if it isn't known."""
        return None if self.dls.image is None else psnr(self.render(), self.dls.image)

    @delegates(show_pictures)
    def show_results(
        self,
        ds_idx: int = 1,  # fastai's, without effect: the whole signal is drawn
        dl=None,  # likewise
        max_n=None,  # likewise
        shuffle: bool = False,  # likewise
        **kwargs,
    ):
        """Draw the fitted signal from 0 to 1; of an image that is known, target, reconstruction and error."""
        fitted, image = self.render(), self.dls.image
        if image is None:
            return show_pictures({"from gradients": fitted}, **kwargs)
        pictures = {"target": image, "from gradients": fitted, "error": absolute_error(fitted, image)}
        return show_pictures(pictures, **kwargs)

    def _offset(self) -> Tensor:
        """What is missing to the signal's mean, for each channel (c,)."""
        return self.dls.train_ds.signal.mean - self._samples(self.model.network).double().mean(0).float()

    def _samples(self, network: nn.Module) -> Tensor:
        """A network's values at the signal's samples, (n, c)."""
        signal = self.dls.train_ds.signal
        return render(network, None, None, signal.grid, None, shape=signal.shape).flatten(0, -2)


class ImagePSNR(Metric):
    """The PSNR in dB of a `GradientLearner`'s image, which is never trained on; None where the image isn't known."""

    name = "psnr"

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self.learn, self.last = None, None

    def accumulate(self, learn: Learner) -> None:
        self.learn = learn

    @property
    def value(self) -> float | None:
        if self.learn is not None:
            self.last, self.learn = self.learn.image_psnr(), None  # or an export would carry the learner
        return self.last


@delegates(siren_learner, but=["model", "kind"])
def gradient_learner(
    dls: GradientDataLoaders,  # of one signal's gradients
    network: nn.Module | Sequence[int] | None = None,  # coordinates to values, or its widths; None is [d, 256 x 3, c]
    metrics=None,  # None is the PSNR of the image, if `dls` has it
    lr: float = 3e-4,  # the default of `fit_fast` and `fit_one_cycle`
    **kwargs,
) -> GradientLearner:
    """A Learner whose network has the gradients of `dls`: `learn.fit_fast(n)`, then `learn.render()`.

    A network that is given stays as it is; the default is drawn by the "fast" scheme for the signal's samples.
    Raises: TypeError for loaders without gradients; ValueError for a network of other inputs or outputs.
    """
    if not hasattr(getattr(dls, "train_ds", None), "signal"):
        raise TypeError("`dls` must be `GradientDataLoaders`: `GradientDataLoaders.from_image` makes them of an image")
    metrics = ([] if dls.image is None else [ImagePSNR()]) if metrics is None else metrics
    model = GradientOf(_network_for(dls, network))
    return siren_learner(dls, model, metrics=metrics, lr=lr, kind=GradientLearner, **kwargs)


def _network_for(dls: GradientDataLoaders, network: nn.Module | Sequence[int] | None) -> nn.Module:
    if isinstance(network, nn.Module):
        return network
    signal = dls.train_ds.signal
    ends = [len(signal.shape), len(signal.mean)]
    dims = [ends[0], *HIDDEN, ends[1]] if network is None else check_dims(network)
    if [dims[0], dims[-1]] != ends:
        raise ValueError(f"`network` must go from {ends[0]} coordinates to {ends[1]} channels as the data, got {dims}")
    return init_for_signal_(siren_model(dims), "fast", signal.mean[None], signal.shape)

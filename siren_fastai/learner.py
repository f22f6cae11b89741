"""`siren_learner`: a fastai Learner with the defaults that fit signals fast, and pictures in and out."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from fastai.callback import fp16, hook, progress, schedule  # noqa: F401  to_fp16, summary, bars, fit_one_cycle, lr_find
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import Tensor, nn

from siren_fastai.coords import region_size
from siren_fastai.data import PixelDataset, PixelDL
from siren_fastai.init import apply_init_, center_output_
from siren_fastai.metrics import PSNR
from siren_fastai.models.siren import siren_model
from siren_fastai.optimizers import adam
from siren_fastai.render import render

__all__ = ["PixelLearner", "fast_model", "siren_learner"]

HIDDEN = (256, 256, 256)


class PixelLearner(Learner):
    """A fastai Learner of one signal: `render` samples it, `show_results` draws all of it."""

    def render(self, size=None, region=None, clamp="data", **options) -> Tensor:
        """The fitted signal as `siren_fastai.render.render` samples it: (*size, c) float32 on the CPU.

        size: samples per axis; a whole number is the shortest axis of what is rendered, the data's proportions kept
            (square pixels stay square); None is as dense as the data.
        clamp: values are cut to this (low, high); by default the data's `value_range`, [0, 1] for a picture; None
            leaves them.
        Raises: ValueError for a size or region if the data's coordinates are no regular grid.
        """
        data = self.dls.train_ds
        clamp = data.value_range if clamp == "data" else clamp
        if data.grid is None:
            if size is not None or region is not None:
                raise ValueError(
                    "coordinates that are no regular grid can be rendered at the data's own positions only"
                )
            picture = self._picture(self.dls.valid)
            return picture if clamp is None else picture.clamp_(*clamp)
        if size is None or isinstance(size, Integral):
            size = region_size(data.shape, region, size)
        return render(self.model, size, region, **{"grid": data.grid, "clamp": clamp, **options})

    def _picture(self, dl) -> Tensor:
        """The predictions of all samples of `dl`, at their pixels."""
        dl = dl.new(shuffle=False, order=None, repeat=1, off_grid=False)
        return dl.dataset.to_picture(self.get_preds(dl=dl, reorder=False)[0].to(dl.dataset.values)).cpu()

    def show_results(self, ds_idx=1, dl=None, max_n=None, shuffle=False, **kwargs):
        """Draw target, reconstruction and absolute error of every sample of the loader, cut as `render` cuts.

        The other arguments, such as `figsize`, are those of `show_pictures`.
        """
        dl = self.dls[ds_idx] if dl is None else dl
        dl.dataset.show_fit(dl.dataset.to_picture(dl.dataset.values).cpu(), self._picture(dl), **kwargs)

    def predict(self, item, rm_type_tfms=None, with_input=False):
        """The values (c,) at one position `item` (d,) in [-1, 1]^d: fastai's triple, of which the last is not cut.

        Many positions are `learn.model(coords)`, a grid of them `learn.render(size)`.
        Raises: ValueError for anything but d numbers.
        """
        data = self.dls.train_ds
        coords = item if isinstance(item, (Tensor, np.ndarray, list, tuple)) else ()
        coords = torch.as_tensor(coords, dtype=torch.float32)
        if coords.shape != data.coords.shape[1:]:
            got = f"shape {tuple(item.shape)}" if hasattr(item, "shape") else repr(item)
            raise ValueError(
                f"`item` must be one position of {data.coords.shape[1]} numbers in [-1, 1], got {got}; call "
                "`learn.model(coords)` for many (n, d), or `learn.render(size)` for a picture"
            )
        one = PixelDataset(coords[None], coords.new_zeros(1, data.n_channels), (1,)).to_(self.dls.device)
        values = self.get_preds(dl=PixelDL(one, device=self.dls.device))[0][0]
        cut = values.clamp(*data.value_range)
        return (coords, cut, cut, values) if with_input else (cut, cut, values)

    def fit_one_cycle(self, n_epoch, lr_max=None, div=25.0, div_final=1e5, pct_start=0.1, **kwargs):
        """fastai's, but the learning rate rises in the first tenth of the fit, not in its first quarter."""
        return super().fit_one_cycle(n_epoch, lr_max, div=div, div_final=div_final, pct_start=pct_start, **kwargs)

    def __call__(self, event_name):
        """fastai's, but only the callbacks that define an event are asked: that was half of its time per batch."""
        if event_name in ("after_create", "after_fit") or not isinstance(event_name, str):
            self.__dict__.pop("_listeners", None)
            return super().__call__(event_name)
        for cb in self._listening(event_name):
            cb(event_name)

    def _listening(self, event_name):
        """The callbacks that define the event, sorted by order; found again whenever a callback comes or goes."""
        known = self.__dict__.get("_listeners")
        if (
            known is None
            or len(known[0]) != len(self.cbs)
            or any(a is not b for a, b in zip(known[0], self.cbs, strict=True))
        ):
            known = self.__dict__["_listeners"] = (list(self.cbs), {})
        if event_name not in known[1]:
            known[1][event_name] = list(self.ordered_cbs(event_name))
        return known[1][event_name]


def fast_model(
    dls: DataLoaders,  # of one signal; the network reads its coordinates and has its channels as outputs
    hidden: Sequence[int] = HIDDEN,  # widths of the hidden layers
) -> nn.Module:
    """The default network for `dls`: a SIREN drawn by the "fast" scheme, whose output starts at the signal's mean."""
    data = dls.train_ds
    model = apply_init_(siren_model([data.coords.shape[1], *hidden, data.n_channels]), "fast")
    return center_output_(model, data.values)


def siren_learner(
    dls: DataLoaders,
    model: nn.Module | None = None,
    metrics=None,
    opt_func=adam,
    lr: float = 5e-4,
    moms: tuple[float, float, float] = (0.9, 0.8, 0.9),
    wd: float = 0.0,
    **kwargs,
) -> PixelLearner:
    """A Learner for `dls` with defaults that were searched for speed (benchmarks/search.py): `learn.fit_one_cycle(n)`.

    model: None is `fast_model(dls)`; a model that is given stays as it is.
    metrics: None is the `PSNR` over the data's `value_range`: [0, 1] for a picture, [-1, 1] for audio, [0, 255] for a
        uint8 picture given to `from_array`, as described there.
    wd: no weight decay unless asked for.
    The other arguments are those of fastai's `Learner`; the loss is the MSE.
    Most of the quality comes as the learning rate falls: choose the epochs for the target, and let the fit end.
    """
    model = fast_model(dls) if model is None else model
    if metrics is None:
        low, high = getattr(dls.train_ds, "value_range", (0.0, 1.0))
        metrics = PSNR(high - low, low)
    return PixelLearner(dls, model, opt_func=opt_func, lr=lr, moms=moms, wd=wd, metrics=metrics, **kwargs)

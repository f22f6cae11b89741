"""`siren_learner`: a fastai Learner with defaults that fit signals fast, which also renders what it has learned."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fastai.callback import fp16, hook, progress, schedule  # noqa: F401  to_fp16, summary, bars, fit_one_cycle, lr_find
from fastai.callback.mixup import MixHandler
from fastai.callback.schedule import valley
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.torch_core import rank_distrib
from fastcore.meta import delegates
from torch import Tensor, nn

from siren_fastai.audio.files import checked_rate, save_audio
from siren_fastai.coords import region_size
from siren_fastai.data.stacked import StackDataLoaders
from siren_fastai.default_model import check_widths, model_for
from siren_fastai.figures import show_pictures
from siren_fastai.metrics import default_metrics
from siren_fastai.optimizers import fast_adam, twice_valley
from siren_fastai.page.save import save_page
from siren_fastai.quality import psnr
from siren_fastai.render import render

__all__ = ["IndexedLearner", "PixelLearner", "siren_learner"]

WARM_UP = 0.1  # share of the steps in which the rate rises: 0.25 to 0.34 dB better after 7 epochs than fastai's quarter


class IndexedLearner(Learner):
    """A fastai Learner on loaders of the kind `IndexedDL`: in several processes too, and never without samples."""

    def to_distributed(
        self,
        sync_bn: bool = True,  # on GPUs, batch norm over the samples of all processes
        **kwargs,  # of accelerate's `Accelerator`
    ) -> "IndexedLearner":
        """What fastai's `distrib_ctx` calls first: share every batch among the processes, see `SharedTrainer`."""
        from siren_fastai.distributed import SharedTrainer  # needs accelerate, which is optional

        self.add_cb(SharedTrainer(sync_bn, **kwargs))
        if rank_distrib():
            self.remove_cb(progress.ProgressCallback)
        return self

    def detach_distributed(self) -> "IndexedLearner":
        """What fastai's `distrib_ctx` calls last, also after an error or Ctrl-C."""
        if hasattr(self, "shared_trainer"):
            self.shared_trainer.release()
        return super().detach_distributed()

    def fit(self, n_epoch, lr=None, wd=None, cbs=None, reset_opt=False, start_epoch=0):
        """fastai's. Raises: ValueError if there are no samples, as in a learner that was exported and loaded."""
        self._need_samples()
        super().fit(n_epoch, lr, wd, cbs, reset_opt, start_epoch)

    def _need_samples(self) -> None:
        if not len(self.dls.train):
            raise ValueError(
                "there are no samples to train on, as an exported learner keeps none: set `learn.dls` to your "
                "DataLoaders first"
            )


class PixelLearner(IndexedLearner):
    """A fastai Learner of one signal. `render` samples the signal at any size, `show_results` draws all of it."""

    @delegates(render, but=["shape"])
    def render(
        self,
        size: int | Sequence[int] | None = None,  # as for `render`; None is as dense as the data
        region: Sequence[float] | None = None,  # the part of [-1, 1]^d to sample; None is everything
        clamp: tuple[float, float] | str | None = "data",  # "data" is the data's `value_range`; None doesn't clamp
        grid: str | None = None,  # where samples lie in the region, as for `render`; None is the data's grid
        rate: float | None = None,  # samples or frames per second of the result; None is the data's
        **kwargs,
    ) -> Tensor:  # (*size, c) float32 on the CPU
        """Sample the fitted signal, in the proportions and on the grid of the data.

        Raises: ValueError for a size, region or rate if the data's coordinates aren't a regular grid, a rate for data
            that have none, or with lengths for all axes.
        """
        data = self.dls.train_ds
        size = size if rate is None else self._size_at(rate, size, region)
        clamp = data.value_range if isinstance(clamp, str) and clamp == "data" else clamp
        if data.grid is None:
            if size is not None or region is not None:
                raise ValueError(
                    "coordinates that aren't a regular grid can be rendered at the data's own positions only: "
                    "leave `size` and `region` out"
                )
            values = self.get_preds(dl=self.dls.test_dl(data.all_positions()), reorder=False)[0].cpu()
            return (values if clamp is None else values.clamp_(*clamp)).view(*data.shape, -1)
        grid = data.grid if grid is None else grid
        return render(self.model, size, region, grid, clamp, shape=data.shape, **kwargs)

    def _size_at(self, rate: float, size, region) -> tuple[int, ...]:
        """The samples along each axis at `rate` samples or frames per second."""
        data, ratio = self.dls.train_ds, checked_rate(rate)
        if data.rate is None:
            raise ValueError("`rate`: the data have none; state it, as `PixelDataLoaders.from_array(..., rate=24)`")
        if hasattr(size, "__len__") or (size is not None and len(data.shape) == 1):
            raise ValueError(f"give `rate` or the number of samples along time, not both: got {rate!r} and {size!r}")
        first, *others = region_size(data.shape, region, size)
        return (max(1, round(first * ratio / data.rate)), *others)

    def save_audio(
        self,
        path: str | os.PathLike,  # the file to write, such as "clip.wav"
        rate: int | None = None,  # samples per second; None is the data's
        kind: str = "int16",  # of the file's samples: "uint8", "int16", "int32" or "float32"
    ) -> Path:
        """Render the fitted sound and write it as a wave file; return its path.

        Raises: ValueError for data that are no sound with a rate, and as `siren_fastai.audio.files.save_audio`.
        """
        data = self.dls.train_ds
        if not data.is_sound:
            raise ValueError("the data are no sound with a `rate`, as `PixelDataLoaders.from_audio` gives them")
        checked_rate(data.rate if rate is None else rate, whole=True)
        return save_audio(self.render(rate=rate), path, data.rate if rate is None else rate, kind)

    def to_html(
        self,
        path: str | os.PathLike,  # the file to write, such as "cat.html"
        title: str | None = None,  # shown in a corner; None is the file's name
        weights: str = "auto",  # "float16", "float32", or "auto": as `siren_fastai.page.save.page_html` chooses
    ) -> Path:
        """Write the fitted image as a web page with endless zoom, one file that loads nothing; return its path.

        A corner says the image's size, and the PSNR if the data is the whole image in a known `value_range`.
        Raises: TypeError or ValueError for data that isn't an image on a regular grid, or a network that a page can't
            draw, as `siren_fastai.page.save.save_page`.
        """
        data = self.dls.train_ds
        if len(data.shape) != 2 or data.grid is None:
            raise ValueError("a page shows an image, whose positions are a regular grid of two axes: use `render`")
        values = (0.0, 1.0) if data.value_range is None else data.value_range
        options = {"grid": data.grid, "value_range": values, "psnr": self._psnr(), "weights": weights}
        return save_page(self.model, path, data.shape, title, **options)

    def _psnr(self) -> float | None:
        """The PSNR in dB of the whole image, or None without all of its samples and their range."""
        data = self.dls.train_ds
        if data.value_range is None or data.pixels is not None or len(data) != math.prod(data.shape):
            return None
        low, high = data.value_range
        return psnr(self.render(), data.to_picture(data.values).cpu(), high - low, (low, high))

    def _predicted(self, dl) -> Tensor:
        """The predictions of all samples of `dl`, at their pixels."""
        dl = dl.raster()
        return dl.dataset.to_picture(self.get_preds(dl=dl, reorder=False)[0].to(dl.dataset.values)).cpu()

    @delegates(show_pictures, but=["value_range"])
    def show_results(
        self,
        ds_idx: int = 1,  # 0: samples of training, 1: of validation
        dl=None,  # a loader instead of `ds_idx`
        max_n=None,  # fastai's, without effect: all samples are drawn
        shuffle: bool = False,  # fastai's, without effect: samples are drawn at their pixels
        **kwargs,
    ):
        """Draw target, reconstruction and absolute error of every sample of a loader, clamped as `render` clamps.

        With a mask, the target is every sample of training and validation, with holes where nothing is known, and the
        reconstruction is whole.
        """
        dl = self.dls[ds_idx] if dl is None else dl
        dl.dataset.show_fit(*self.compared(dl), **kwargs)

    def compared(
        self,
        dl,  # a loader of the signal's samples
    ) -> tuple[Tensor, Tensor]:  # (*shape, c) each, on the CPU
        """The target and the reconstruction that `show_results` draws, not clamped; nan where nothing is known.

        Raises: ValueError if the loader has no samples, as that of an exported learner.
        """
        data = dl.dataset
        if not len(data):
            raise ValueError(
                "there are no samples to compare with, as an exported learner keeps none: `learn.render()` is the "
                "reconstruction, and `show_results(dl=dls.valid)` compares it with the samples of `dls`"
            )
        if data.hidden is None:
            return data.to_picture(data.values).cpu(), self._predicted(dl)
        target, *others = (part.to_picture(part.values).cpu() for part in (data, self.dls.train_ds, self.dls.valid_ds))
        for other in others:
            target = torch.where(target.isnan(), other, target)
        return target, self.render()

    def predict(
        self,
        item: Sequence[float] | Tensor | np.ndarray,  # one position (d,) in [-1, 1]^d
        rm_type_tfms=None,  # fastai's, without effect
        with_input: bool = False,  # return the position too, as the first item
    ) -> tuple[Tensor, ...]:  # fastai's triple: decoded, the same, and the raw values; each (c,)
        """The values at one position; the decoded ones are clamped to the data's `value_range`.

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
                "`learn.model(coords)` for many (n, d), or `learn.render(size)` for an image"
            )
        values = self.get_preds(dl=self.dls.test_dl(coords[None]))[0][0]
        decoded = data.clamp(values)
        return (coords, decoded, decoded, values) if with_input else (decoded, decoded, values)

    def tta(self, *args, **kwargs):
        """fastai's average over augmented images, which doesn't apply. Raises: TypeError."""
        raise TypeError("`tta` averages over augmented images, and positions have none: use `get_preds` or `render`")

    def add_cb(self, cb):
        """As fastai's. Raises: ValueError for MixUp and CutMix, which would mix the positions of different pixels."""
        kind = cb if isinstance(cb, type) else type(cb)
        if not issubclass(kind, MixHandler):
            return super().add_cb(cb)
        raise ValueError(
            f"`{kind.__name__}` mixes inputs, and an average of two positions is another position with another "
            "value: leave it out; `PixelDataLoaders(..., off_grid=True)` trains between the pixels"
        )

    def lr_find(
        self,
        start_lr: float = 1e-7,  # the first learning rate
        end_lr: float = 10,  # the last
        num_it: int = 100,  # steps from the first to the last
        stop_div: bool = True,  # stop when the loss diverges
        show_plot: bool = True,  # draw loss over learning rate
        suggest_funcs=(valley, twice_valley),  # fastai's `valley`, and ours, or any others
    ):
        """fastai's `lr_find`, which suggests `valley` and `twice_valley`: prefer the second for coordinate networks."""
        self._need_samples()
        return super().lr_find(start_lr, end_lr, num_it, stop_div, show_plot, suggest_funcs)

    @delegates(Learner.fit_one_cycle)
    def fit_fast(
        self,
        n_epoch: int,  # choose it for the target: most of the quality comes as the learning rate falls at the end
        lr_max: float | None = None,  # None is the learner's `lr`
        pct_start: float = WARM_UP,  # share of the steps in which the learning rate rises
        **kwargs,
    ):
        """fastai's `fit_one_cycle` with the warm-up that was searched for short fits: a tenth instead of a quarter."""
        self.fit_one_cycle(n_epoch, lr_max, pct_start=pct_start, **kwargs)


@delegates(Learner.__init__)
def siren_learner(
    dls: DataLoaders,  # of one signal, such as `PixelDataLoaders.from_image(...)`
    model: nn.Module | Sequence[int] | None = None,  # or the widths of `fast_model`, as [2, 64, 3]; None is its own
    metrics=None,  # None is the `PSNR` in the data's `value_range`, or the loss only if that isn't known
    opt_func=fast_adam,  # one of `siren_fastai.optimizers`, or any of fastai's
    lr: float = 5e-4,  # the default of `fit_fast` and `fit_one_cycle`
    moms: tuple[float, float, float] = (0.9, 0.8, 0.9),  # momentum at the start, the peak and the end of one cycle
    wd: float = 0.0,  # weight decay; fastai's default of its optimisers doesn't suit a SIREN
    kind: type[PixelLearner] = PixelLearner,  # the learner's class
    **kwargs,
) -> PixelLearner:
    """A Learner for `dls` with defaults that were searched for speed (benchmarks/search.py): `learn.fit_fast(n)`.

    A model that is given stays as it is. The loss is the MSE unless `loss_func` is given.
    Raises: TypeError for the data of many signals; ValueError for a model that doesn't read the data's positions, or
        (without a `loss_func`) has other outputs than the data has channels.
    """
    if isinstance(dls, StackDataLoaders):
        raise TypeError(f"`dls` has {len(dls.fits)} signals, one network each: use `stack_learner(dls)`")
    model = model_for(dls, model)
    metrics = default_metrics(dls) if metrics is None else metrics
    learn = kind(dls, model, opt_func=opt_func, lr=lr, moms=moms, wd=wd, metrics=metrics, **kwargs)
    check_widths(learn, any_output=kwargs.get("loss_func") is not None)
    return learn

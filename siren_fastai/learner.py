"""`siren_learner`: a fastai Learner with defaults that fit signals fast, which also renders what it has learned."""

from collections.abc import Sequence

import numpy as np
import torch
from fastai.callback import fp16, hook, progress, schedule  # noqa: F401  to_fp16, summary, bars, fit_one_cycle, lr_find
from fastai.callback.mixup import MixHandler
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.torch_core import rank_distrib
from fastcore.meta import delegates
from torch import Tensor, nn

from siren_fastai.data import PixelDataset
from siren_fastai.figures import show_pictures
from siren_fastai.init import apply_init_, center_output_
from siren_fastai.metrics import default_metrics
from siren_fastai.models.siren import check_dims, siren_model
from siren_fastai.optimizers import adam
from siren_fastai.render import render

__all__ = ["PixelLearner", "fast_model", "siren_learner"]

HIDDEN = (256, 256, 256)
WARM_UP = 0.1  # share of the steps in which the rate rises: 0.25 to 0.34 dB better after 7 epochs than fastai's quarter


class PixelLearner(Learner):
    """A fastai Learner of one signal. `render` samples the signal at any size, `show_results` draws all of it."""

    @delegates(render, but=["shape"])
    def render(
        self,
        size: int | Sequence[int] | None = None,  # as for `render`; None is as dense as the data
        region: Sequence[float] | None = None,  # the part of [-1, 1]^d to sample; None is everything
        clamp: tuple[float, float] | str | None = "data",  # "data" is the data's `value_range`; None doesn't clamp
        grid: str | None = None,  # where samples lie in the region, as for `render`; None is the data's grid
        **kwargs,
    ) -> Tensor:  # (*size, c) float32 on the CPU
        """Sample the fitted signal, in the proportions and on the grid of the data.

        Raises: ValueError for a size or region if the data's coordinates aren't a regular grid.
        """
        data = self.dls.train_ds
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
        """Draw target, reconstruction and absolute error of every sample of a loader, clamped as `render` clamps."""
        dl = self.dls[ds_idx] if dl is None else dl
        if not len(dl.dataset):
            raise ValueError(
                "there are no samples to compare with, as an exported learner keeps none: `learn.render()` is the "
                "reconstruction, and `show_results(dl=dls.valid)` compares it with the samples of `dls`"
            )
        dl.dataset.show_fit(dl.dataset.to_picture(dl.dataset.values).cpu(), self._predicted(dl), **kwargs)

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
        if isinstance(cb, type) or not isinstance(cb, MixHandler):
            return super().add_cb(cb)
        raise ValueError(
            f"`{type(cb).__name__}` mixes inputs, and an average of two positions is another position with another "
            "value: leave it out; `PixelDataLoaders(..., off_grid=True)` trains between the pixels"
        )

    def to_distributed(
        self,
        sync_bn: bool = True,  # on GPUs, batch norm over the samples of all processes
        **kwargs,  # of accelerate's `Accelerator`
    ) -> "PixelLearner":
        """What fastai's `distrib_ctx` calls first: share every batch among the processes, see `SharedTrainer`."""
        from siren_fastai.distributed import SharedTrainer  # needs accelerate, which is optional

        self.add_cb(SharedTrainer(sync_bn, **kwargs))
        if rank_distrib():
            self.remove_cb(progress.ProgressCallback)
        return self

    def detach_distributed(self) -> "PixelLearner":
        """What fastai's `distrib_ctx` calls last, also after an error or Ctrl-C."""
        if hasattr(self, "shared_trainer"):
            self.shared_trainer.release()
        return super().detach_distributed()

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


def fast_model(
    dls: DataLoaders,  # of one signal; the network reads its coordinates and has its channels as outputs
    hidden: Sequence[int] = HIDDEN,  # widths of the hidden layers
) -> nn.Module:
    """The default network for `dls`: a SIREN drawn by the "fast" scheme, whose output starts at the signal's mean."""
    data = dls.train_ds
    model = apply_init_(siren_model([data.coords.shape[1], *hidden, data.n_channels]), "fast")
    return center_output_(model, data.values)


@delegates(Learner.__init__)
def siren_learner(
    dls: DataLoaders,  # of one signal, such as `PixelDataLoaders.from_image(...)`
    model: nn.Module | Sequence[int] | None = None,  # or the widths of `fast_model`, as [2, 64, 3]; None is its own
    metrics=None,  # None is the `PSNR` in the data's `value_range`, or the loss only if that isn't known
    opt_func=adam,  # one of `siren_fastai.optimizers`, or any of fastai's
    lr: float = 5e-4,  # the default of `fit_fast` and `fit_one_cycle`
    moms: tuple[float, float, float] = (0.9, 0.8, 0.9),  # momentum at the start, the peak and the end of one cycle
    wd: float = 0.0,  # weight decay; fastai's default of its optimisers doesn't suit a SIREN
    **kwargs,
) -> PixelLearner:
    """A Learner for `dls` with defaults that were searched for speed (benchmarks/search.py): `learn.fit_fast(n)`.

    A model that is given stays as it is. The loss is the MSE unless `loss_func` is given.
    Raises: ValueError for a model that doesn't read the data's positions, or (without a `loss_func`) has other outputs
        than the data has channels.
    """
    model = _model_of(dls, model)
    metrics = default_metrics(dls) if metrics is None else metrics
    learn = PixelLearner(dls, model, opt_func=opt_func, lr=lr, moms=moms, wd=wd, metrics=metrics, **kwargs)
    _check_widths(learn, any_output=kwargs.get("loss_func") is not None)
    return learn


def _model_of(dls: DataLoaders, model: nn.Module | Sequence[int] | None) -> nn.Module:
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
def _check_widths(learn: Learner, any_output: bool) -> None:
    """Pass two positions through the network, as it is in evaluation."""
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

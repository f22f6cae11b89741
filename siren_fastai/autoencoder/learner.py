"""`autoencoder_learner`: a fastai Learner that turns images into codes, and codes into images of any size."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from fastai.callback.schedule import ParamScheduler, SchedCos, combined_cos
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastcore.foundation import L
from fastcore.meta import delegates
from torch import Tensor, nn

from siren_fastai.autoencoder.default import default_lr, model_for
from siren_fastai.autoencoder.inputs import as_images
from siren_fastai.autoencoder.results import show_reconstructions
from siren_fastai.callbacks.code_spread import CodeSpread
from siren_fastai.callbacks.count_samples import CountSamples, epochs_for
from siren_fastai.callbacks.sample_positions import SamplePositions
from siren_fastai.coords import region_size
from siren_fastai.learner import IndexedLearner
from siren_fastai.metrics import default_metrics
from siren_fastai.optimizers import adam
from siren_fastai.processes import unwrapped

__all__ = ["LOSSES", "AutoencoderLearner", "autoencoder_learner"]

LOSSES = {"l1": nn.L1Loss, "l2": nn.MSELoss}
BATCH = 256  # images or codes at a time


class AutoencoderLearner(IndexedLearner):
    """A fastai Learner of an autoencoder. All methods but the fits use it in eval mode, and take pictures of any kind.

    Pictures are arrays or tensors (uint8, or floats in [0, 1]), Pillow images, files, a folder, or lists, of the size
    and the channels that the network was trained on, see `as_images`. Codes and images come back on the CPU.
    """

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the images that the network was made for."""
        return tuple(self.dls.train_ds.shape)

    @property
    def draws_any_size(self) -> bool:
        """Whether the decoder is one of positions."""
        return hasattr(getattr(unwrapped(self.model), "decoder", None), "at")

    def encode(
        self,
        pictures,  # one or many, see the class
    ) -> Tensor:  # (n, code_size) float32
        """Return the codes of pictures. Raises: as `as_images`."""
        images = as_images(pictures, self.image_shape)
        with self._evaluating() as (model, device):
            return torch.cat([model.encode(part.to(device)).float().cpu() for part in images.split(BATCH)])

    def decode(
        self,
        codes,  # (n, code_size) or (code_size,): a tensor, an array or a list
        shape: int | Sequence[int] | None = None,  # (height, width), or the shorter side; None is that of the data
        clamp: bool = True,  # clamp the values to [0, 1]
    ) -> Tensor:  # (n, c, height, width) float32
        """Return the images of codes, of any size if the decoder is one of positions.

        Raises: TypeError or ValueError for codes of another size or an impossible `shape`.
        """
        codes = torch.as_tensor(codes, dtype=torch.float32)
        codes = codes[None] if codes.dim() == 1 else codes
        shape = None if shape is None else region_size(self.image_shape[1:], size=shape)
        with self._evaluating() as (model, device):
            parts = [model.decode(part.to(device), shape).float().cpu() for part in codes.split(BATCH)]
        images = torch.cat(parts)
        return images.clamp_(0, 1) if clamp else images

    def reconstruct(
        self,
        pictures,  # one or many, see the class
        shape: int | Sequence[int] | None = None,  # as for `decode`
    ) -> Tensor:  # (n, c, height, width) float32 in [0, 1]
        """Return the images that are left of pictures once they were codes."""
        return self.decode(self.encode(pictures), shape)

    def interpolate(
        self,
        a,  # a picture, or a code (code_size,)
        b,  # another
        n: int = 8,  # images, with the two ends; at least 2
        shape: int | Sequence[int] | None = None,  # as for `decode`
    ) -> Tensor:  # (n, c, height, width) float32 in [0, 1]
        """Return the images of codes on the straight line from `a` to `b`. Raises: ValueError for n < 2."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 2:
            raise ValueError(f"`n` must be an integer of 2 or more, got {n!r}")
        ends = [self._one_code(value, name) for value, name in ((a, "a"), (b, "b"))]
        if ends[0].shape != ends[1].shape:
            raise ValueError(f"`a` and `b` must be codes of one length, got {len(ends[0])} and {len(ends[1])} values")
        return self.decode(torch.lerp(*ends, torch.linspace(0, 1, n)[:, None]), shape)

    def show_results(
        self,
        ds_idx: int = 1,  # 0: images of training, 1: of validation
        dl=None,  # a loader instead of `ds_idx`
        max_n: int = 9,  # images, evenly spread over the data
        shuffle: bool = False,  # draw them at random instead
        **kwargs,  # as for `show_pictures`
    ):
        """Draw images, their reconstructions, those drawn twice as large, and the absolute error.

        The third is left out if the decoder draws one size only.
        Raises: ValueError if there are no images, as in a learner that was exported and loaded.
        """
        data = (self.dls[ds_idx] if dl is None else dl).dataset
        if not len(data):
            raise ValueError(
                "there are no images to compare with, as an exported learner keeps none: "
                "`learn.show_results(dl=learn.dls.test_dl(pictures))` draws those of yours"
            )
        n = min(max_n, len(data))
        index = torch.randperm(len(data))[:n] if shuffle else torch.arange(n) * len(data) // n
        images = data[index.to(data.device)][0].cpu()
        double = tuple(2 * side for side in self.image_shape[1:]) if self.draws_any_size else None
        large = None if double is None else self.reconstruct(images, double)
        show_reconstructions(images, self.reconstruct(images), large, **kwargs)

    def predict(
        self,
        item,  # one picture
        rm_type_tfms=None,  # fastai's, without effect
        with_input: bool = False,  # return the picture too, as the first item
    ) -> tuple[Tensor, ...]:  # fastai's triple: clamped to [0, 1], the same, and the raw values; each (c, h, w)
        """Return one picture as it is reconstructed. Raises: ValueError for several of them."""
        values = self.decode(self._one_code(item, "item"), clamp=False)[0]
        decoded = values.clamp(0, 1)
        return (
            (as_images(item, self.image_shape)[0], decoded, decoded, values)
            if with_input
            else (decoded, decoded, values)
        )

    def fit_samples(
        self,
        max_samples: int,  # images to train on, each as often as it comes
        lr: float | None = None,  # None is the learner's `lr`
        warm_up: float = 0.0,  # share of the samples in which the learning rate rises
        cbs=None,  # further callbacks
        **kwargs,  # as for `fit`
    ):
        """Train on a number of samples: the rate falls to 0 along half a cosine, step by step. `learn.samples` counts.

        It ends with the batch that reaches the number, and validates after each epoch and there.
        """
        lr = self.lr if lr is None else lr
        schedule = combined_cos(warm_up, lr / 25, lr, 0.0) if warm_up else SchedCos(lr, 0.0)
        cbs = [CountSamples(max_samples), ParamScheduler({"lr": schedule}), *L(cbs)]
        self.fit(epochs_for(max_samples, self.dls.train), lr, cbs=cbs, **kwargs)

    def _one_code(self, value, name: str) -> Tensor:
        """A code as it is, or that of a single picture."""
        size = getattr(unwrapped(self.model), "code_size", None)
        if getattr(value, "shape", None) in ((size,), (1, size)):
            return torch.as_tensor(value, dtype=torch.float32).view(-1)
        codes = self.encode(value)
        if len(codes) != 1:
            raise ValueError(f"`{name}` must be one picture, or one code of {size} values, got {len(codes)} pictures")
        return codes[0]

    @contextmanager
    def _evaluating(self) -> Iterator[tuple[nn.Module, torch.device]]:
        """The network in eval mode without gradients, and its device; in the mode of before afterwards."""
        model = unwrapped(self.model)
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                yield model, next(model.parameters()).device
        finally:
            model.train(training)


@delegates(Learner.__init__, but=["loss_func"])
def autoencoder_learner(
    dls: DataLoaders,  # of images, such as `tile_dataloaders()` or `PictureDataLoaders.from_images(folder)`
    model: nn.Module | None = None,  # an `Autoencoder`; None is `default_autoencoder`, which takes a while to start
    code_size: int | None = None,  # values per code; None is the model's, or 102
    loss: str | Callable = "l1",  # between images: "l1", "l2", or a function of prediction and target
    positions: int | None = None,  # train on so many random pixels of each image; None is all of them
    spread: float = 0.0,  # weight of the spread of the codes in the training loss, see `CodeSpread`
    metrics=None,  # None is the `PSNR`
    opt_func=adam,  # one of `siren_fastai.optimizers`, or any of fastai's
    lr: float | None = None,  # the default of `fit_samples` and `fit_one_cycle`; None is 2e-4 for fields, else 1e-3
    moms: tuple[float, float, float] = (0.9, 0.8, 0.9),  # momentum at the start, the peak and the end of one cycle
    wd: float = 0.0,  # weight decay
    cbs=None,  # further callbacks
    **kwargs,
) -> AutoencoderLearner:
    """A Learner of an autoencoder on collections of images: `learn.fit_one_cycle(20)`, then `encode` and `decode`.

    The validation loss is that of whole images without the spread, in eval mode.
    Raises: TypeError for a model without `encode` and `decode`; ValueError for one that has another `code_size` or
        doesn't fit the images, or for an unknown `loss`.
    """
    model = model_for(dls, model, code_size)
    cbs = [*L(cbs), *([SamplePositions(positions)] if positions is not None else [])]
    cbs += [CodeSpread(spread)] if spread else []
    metrics = default_metrics(dls) if metrics is None else metrics
    lr = default_lr(model) if lr is None else lr
    options = dict(opt_func=opt_func, lr=lr, moms=moms, wd=wd, metrics=metrics, cbs=cbs, **kwargs)
    return AutoencoderLearner(dls, model, loss_func=_loss(loss), **options)


def _loss(loss: str | Callable) -> Callable:
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}, or a function, got {loss!r}")
    return LOSSES[loss]()

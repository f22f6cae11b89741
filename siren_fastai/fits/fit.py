"""One fit from settings to folder: everything is read, checked and built before the folder is touched."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.torch_core import set_seed
from torch import Tensor

from siren_fastai.files import persist
from siren_fastai.fits.devices import deterministic, device_of
from siren_fastai.fits.folder import take_folder
from siren_fastai.fits.image import fit_to, read_image
from siren_fastai.fits.network import build_network
from siren_fastai.fits.outputs import FitResult, write_outputs
from siren_fastai.fits.packing import load_optimizer_
from siren_fastai.fits.presets import resolve
from siren_fastai.fits.record import RecordFit
from siren_fastai.fits.settings import FitSettings
from siren_fastai.fits.start import check_network_settings, loaders_for, starting_point
from siren_fastai.fits.tensorboard import LogTensorBoard
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.models.field import count_parameters
from siren_fastai.optimizers import OPTIMIZERS

__all__ = ["Fit", "FitDiverged", "FitInterrupted", "fit_image", "prepare_fit"]


class FitInterrupted(KeyboardInterrupt):
    """Ctrl-C during a fit. `folder` can be resumed from `epoch`; None if nothing was trained yet."""

    def __init__(self, folder: Path, epoch: int | None):
        again = f"continue with `fit_image(FitSettings(folder={str(folder)!r}, resume=True))`"
        at = "before the first epoch; nothing was trained" if epoch is None else f"in epoch {epoch}; {again}"
        super().__init__(f"interrupted {at}")
        self.folder, self.epoch = folder, epoch


class FitDiverged(ArithmeticError):
    """The loss is not a number. `folder` holds the last complete state, of `epoch`; None if there is none."""

    def __init__(self, folder: Path, at: int, epoch: int | None, lr: float):
        kept = f"; history.txt and model_current hold the state of epoch {epoch}. Give a smaller `lr` than {lr:g}"
        none = ", and nothing was written: the network starts like that. Check `omega_0`, `scheme` and `start`"
        super().__init__(
            f"the training diverged: the loss before epoch {at} is not a number{none if epoch is None else kept}"
        )
        self.folder, self.epoch = folder, epoch


@dataclass
class Fit:
    """A fit that is ready to run."""

    settings: FitSettings  # with nothing left open
    learn: PixelLearner
    target: Tensor  # (h, w, c) in [0, 1]
    record: RecordFit
    board: LogTensorBoard | None
    cbs: Sequence[Callback]  # the caller's

    def run(self) -> FitResult:
        """Train, write everything, and return it. Raises: FitInterrupted, FitDiverged; OSError from writing."""
        try:
            with deterministic(self.learn.dls.device):
                self._train()
                return self._finish()
        except Exception:
            raise
        except BaseException:  # Ctrl-C, or another request to end
            raise FitInterrupted(self.record.folder, self._keep()) from None
        finally:
            self.record.place.release()

    def _train(self) -> None:
        record, epochs = self.record, self.settings.epochs
        if record.start >= epochs:
            record.say(f"{record.start} epochs are done already" if record.start else "no epochs to train for")
        else:
            with closing(self.board) if self.board else nullcontext():
                _train(self.learn, self.settings, record.start)
        if record.diverged is None:
            record.check(max(epochs, record.start))
        if record.diverged is not None:
            raise FitDiverged(record.folder, record.diverged, self._keep(), self.settings.lr)

    def _finish(self) -> FitResult:
        final = persist(lambda: self.record.finish(max(self.settings.epochs, self.record.start)))
        final.model.to(self.learn.dls.device)
        self.learn.remove_cbs([cb for cb in (self.record, self.board, *self.cbs) if cb is not None])
        return write_outputs(final, self.record, self.learn)

    def _keep(self) -> int | None:
        """Write the last complete state, unless it is written already, and return its epoch."""
        if self.record.good is None:
            return None
        if not self.record.finished:
            persist(self.record.save)
        return self.record.good.epoch


def fit_image(
    settings: FitSettings,  # what to fit, how, and where to write it
    say: Callable[[str], None] = print,  # what to do with log lines
    cbs: Sequence[Callback] = (),  # more callbacks, for this fit
) -> FitResult:
    """Fit a coordinate network to an image and write it all to a folder, or resume such a fit.

    The folder holds target.png, predicted_image.png, history.txt, options.json, checkpoints/ and summaries/; as the
    settings ask, also metrics.json, predicted_image_with_metrics.png and history.png.
    Raises: ValueError, TypeError, FileNotFoundError or FileExistsError for settings that cannot be met, before the
    folder is touched; BlockingIOError if another fit runs in it; FitInterrupted, FitDiverged; OSError if the folder
    cannot be written.
    """
    return prepare_fit(settings, say, cbs).run()


def prepare_fit(settings: FitSettings, say: Callable[[str], None] = print, cbs: Sequence[Callback] = ()) -> Fit:
    """Read, check and build all there is to, and only then lock the folder: the first half of `fit_image`.

    What the folder holds stays until `run` has a state to write.
    """
    given, settings = settings, resolve(settings)
    device = device_of(settings.device)
    set_seed(settings.seed % 2**32, reproducible=True)
    start = starting_point(settings)
    if start and not settings.resume:
        check_network_settings(given, start)
    target = fit_to(read_image(settings.image, settings.color), settings.size, settings.resize_mode)
    dls, value_range = loaders_for(settings, target, start, device)
    model = start.model if start else build_network(settings, dls)
    learn = siren_learner(dls, model, metrics=[], lr=settings.lr, opt_func=OPTIMIZERS[settings.optimizer])
    if settings.resume and start.optimizer is not None:  # a fit of 0 epochs has none
        load_optimizer_(learn, start.optimizer)
    board = LogTensorBoard(settings.folder / "summaries") if settings.tensorboard else None
    needed = [path for path in (settings.image, settings.start) if isinstance(path, (str, os.PathLike))]
    place = take_folder(settings.folder, settings.overwrite or "never", settings.resume, needed)
    try:
        record = RecordFit(settings, place, target, value_range, start.epoch if settings.resume else 0, say)
    except BaseException:
        place.release()
        raise
    if board:
        board.folder = place.path / "summaries"
    learn.add_cbs([cb for cb in (record, board, *cbs) if cb is not None])
    say(_announcement(model, target, dls, place.path))
    return Fit(settings, learn, target, record, board, cbs)


def _train(learn: PixelLearner, settings: FitSettings, start_epoch: int) -> None:
    epochs, lr = settings.epochs, settings.lr
    with learn.no_bar(), learn.no_logging():
        if settings.schedule == "one_cycle":
            learn.fit_fast(epochs, start_epoch=start_epoch)
        elif settings.schedule == "flat_cos":  # fastai's fit_flat_cos ignores start_epoch
            falling = ParamScheduler({"lr": combined_cos(0.75, lr, lr, lr / 1e5)})
            learn.fit(epochs, cbs=falling, start_epoch=start_epoch)
        else:
            learn.fit(epochs, start_epoch=start_epoch)


def _announcement(model: torch.nn.Module, target: Tensor, dls, folder: Path) -> str:
    height, width, channels = target.shape
    color = {1: "gray", 3: "RGB"}.get(channels, f"{channels} channels")
    kind = getattr(model, "kind", type(model).__name__)
    return (
        f"Training on device {dls.device}: {kind}, {count_parameters(model):,} parameters; "
        f"{height}x{width} pixels, {color}, {len(dls.train)} steps an epoch; output in {folder}"
    )

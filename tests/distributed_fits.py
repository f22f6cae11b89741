"""Fits for `test_distributed`: `distributed_fits.py FOLDER`, started in two processes, writes what each of them saw.

Each fit is a function of a folder, so that a test can run it in one process as well.
"""

import json
import random
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from fastai.learner import Learner
from fastai.torch_core import num_distrib, rank_distrib, set_seed
from learners import pixel_learner, plain_learner, quiet, tile_learner
from torch import nn

from siren_fastai.callbacks.apply_init import ApplyInit
from siren_fastai.callbacks.freeze_layers import FreezeLayers
from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.quantize_aware import QuantizeAware
from siren_fastai.callbacks.save_picture_at import SavePictureAt
from siren_fastai.callbacks.stop_at import StopAt
from siren_fastai.callbacks.training_wheels import TrainingWheels
from siren_fastai.callbacks.watch_fit import WatchFit
from siren_fastai.data import tile_dataloaders
from siren_fastai.inpainting.data import inpainting_dataloaders
from siren_fastai.inpainting.learner import inpainting_learner
from siren_fastai.inpainting.masks import Rectangles
from siren_fastai.inpainting.metrics import FilledSSIM, HolePSNR
from siren_fastai.inpainting.networks import unet
from siren_fastai.metrics import PSNR, SSIM
from siren_fastai.quality import psnr, ssim

TOTAL_BS = 40  # of 99 samples: three batches of 33, which two processes divide into 16 and 17


def mean_error(pred, target, *mask):
    return (pred - target).abs().mean()


def learner(path, cbs=(), valid_bs=50, **options):
    """The same learner for any number of processes, each with its part of `TOTAL_BS`."""
    bs = TOTAL_BS // max(num_distrib(), 1)
    metrics = [PSNR(), SSIM(), mean_error]
    learn = pixel_learner(path, size=(11, 9), bs=bs, metrics=metrics, cbs=[MetricHistory(), *cbs], **options)
    learn.dls.valid.bs = valid_bs
    return learn


def several(learn):
    return learn.distrib_ctx() if num_distrib() else nullcontext()


def seen(learn) -> dict:
    """What one process knows after its fit."""
    rows = [{k: float(v) for k, v in row.items() if "seconds" not in k} for row in learn.metric_history.rows]
    image, target = learn.render(), learn.dls.train_ds.to_picture(learn.dls.train_ds.values)
    weights = torch.cat([p.detach().flatten() for p in learn.model.parameters()]).tolist()
    return {"rows": rows, "weights": weights, "psnr": psnr(image, target), "ssim": ssim(image, target)}


def fitted(path, epochs=4, cbs=(), **options) -> dict:
    learn = learner(path, cbs, **options)
    with several(learn):
        learn.fit(epochs, 5e-3)
    return seen(learn)


def plain(path):
    return fitted(path)


def off_grid(path):
    learn = learner(path)
    learn.dls.train.off_grid = True
    with several(learn):
        learn.fit(4, 5e-3)
    return seen(learn)


def fixed_order(path):
    return fitted(path, order="hilbert", repeat=2)


def two_fits(path):
    learn = learner(path)
    with several(learn):
        learn.fit(2, 5e-3)
        learn.fit(2, 5e-3)
    return seen(learn)


def quantized(path):
    learn = learner(path)
    with several(learn):
        learn.fit(3, 5e-3)
        learn.add_cb(QuantizeAware(5, budget_bits=1500, ramp=0))
        learn.fit(2, 5e-3)
    return seen(learn) | {"names": list(learn.quantize_aware.quantizers)}


def stopped(path):
    return fitted(path, 30, [StopAt("psnr", 14.0)])


def stopped_early(path):
    return fitted(path, 30, [EarlyStoppingCallback("valid_loss", min_delta=0.004)])


class Parts(Callback):
    """Keep the sum of each image that this process trains on, batch by batch."""

    def before_fit(self):
        self.sums = []

    def before_batch(self):
        if self.training:
            self.sums.append(self.xb[0].double().sum((1, 2, 3)).tolist())


def codes_learner(path, **options):
    """An autoencoder, without batch norm, which one process takes over whole batches and two over their parts."""
    metrics, bs = [PSNR(), mean_error], TOTAL_BS // max(num_distrib(), 1)
    options = {"spread": 0.1, "positions": 50, "decoder": {"batch_norm": False}, **options}
    return tile_learner(path, bs=bs, metrics=metrics, cbs=[MetricHistory(), Parts()], **options)


def codes_seen(learn) -> dict:
    rows = [{k: float(v) for k, v in row.items() if "seconds" not in k} for row in learn.metric_history.rows]
    return {"rows": rows, "weights": torch.cat([p.detach().flatten() for p in learn.model.parameters()]).tolist()}


def autoencoder(path):
    learn = codes_learner(path)
    with several(learn):
        learn.fit(2, 5e-3)
    return codes_seen(learn)


def autoencoder_by_samples(path):
    learn = codes_learner(path)
    with several(learn):
        learn.fit_samples(120, 5e-3)
    return codes_seen(learn) | {"samples": learn.samples}


def hole_learner(path, bs=12, count=10, **options):
    """A small network that fills holes, without batch norm; each process makes its part of every batch."""
    set_seed(0, reproducible=True)
    photos = np.random.default_rng(0).integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)
    holes, bs = Rectangles(1, 2, side=(2, 6)), bs // max(num_distrib(), 1)
    dls = inpainting_dataloaders(photos, 16, holes, bs, per_image=4, valid_bs=3, path=path, verbose=False, **options)
    model = unet(widths=(4, 6), norm="none")
    metrics = [mean_error, HolePSNR(), HolePSNR(pooled=True), FilledSSIM()]
    return quiet(inpainting_learner(dls, model, metrics=metrics, cbs=[MetricHistory(), Parts()]))


def inpainting(path):
    learn = hole_learner(path)
    with several(learn):
        learn.fit(2, 5e-3)
    return codes_seen(learn)


def inpainting_parts(path):
    learn = hole_learner(path)
    with several(learn):
        learn.fit(2, 5e-3)
    return learn.parts.sums


def other_holes(path):
    """Processes that would draw other holes."""
    return message_of(hole_learner(path, seed=rank_distrib()), "fit", 1)


def autoencoder_parts(path):
    learn = codes_learner(path)
    with several(learn):
        learn.fit(2, 5e-3)
    return learn.parts.sums


def other_pictures(path):
    return message_of(codes_learner(path, count=84 if rank_distrib() else 168), "fit", 1)


def frozen(path):
    learn = learner(path)
    before = learn.model[0].linear.weight.tolist()
    with several(learn):
        learn.fit(2, 5e-3, cbs=FreezeLayers("0.*"))
        kept = learn.model[0].linear.weight.tolist() == before
        learn.fit(1, 5e-3)
    return seen(learn) | {"kept": kept, "freed": learn.model[0].linear.weight.tolist() != before}


def drawn_late(path):
    """Each process draws other weights and shuffles in another order before the fit."""
    learn = learner(path)
    learn.add_cb(ApplyInit("siren"))
    torch.manual_seed(rank_distrib())
    learn.dls.train.rng = random.Random(rank_distrib())
    with several(learn):
        learn.fit(2, 5e-3)
    return seen(learn)


def files(path):
    folder = path / f"of_rank_{rank_distrib()}"
    folder.mkdir()
    learn = learner(path, [SavePictureAt(folder, levels=(1.0,)), WatchFit(folder / "fit.gif")])
    with several(learn):
        learn.fit(2, 5e-3)
    learn.metric_history.to_csv(folder / "history.csv")
    learn.metric_history.to_json(folder / "history.json")
    return sorted(file.name for file in folder.iterdir())


def predictions(path):
    learn = learner(path)
    image = learn.render(clamp=None).view(-1, 3)
    with several(learn):
        of_all = learn.get_preds()[0]
        shuffled = learn.get_preds(ds_idx=0)[0]
    alone = learn.get_preds()[0] if not rank_distrib() else of_all  # outside the context, a process needs no other
    return [float((values - image).abs().max()) for values in (of_all, shuffled, alone)]


class Interrupt(Callback):
    def after_batch(self):
        if self.training:
            raise KeyboardInterrupt


def interrupted(path):
    learn = learner(path)
    try:
        with several(learn):
            learn.fit(2, 5e-3, cbs=Interrupt())
    except KeyboardInterrupt:
        return [len(batch[0]) for batch in learn.dls.valid] + [type(learn.model).__name__]


def message_of(learn, method="fit", *args) -> str:
    try:
        with several(learn):
            getattr(learn, method)(*args)
    except ValueError as error:
        return str(error)
    return "no error"


def other_data(path):
    set_seed(rank_distrib())
    return message_of(pixel_learner(path, seed=rank_distrib(), valid=0.25), "fit", 1)


def too_few_samples(path):
    return message_of(pixel_learner(path, size=(1, 1), bs=4), "fit", 1)


def rate_finder(path):
    return message_of(learner(path), "lr_find")


def saved_best(path):
    """fastai's callback, which writes a file and reads it at the end."""
    learn = learner(path)
    with several(learn):
        learn.fit(2, 5e-3, cbs=SaveModelCallback(monitor="psnr"))
    return seen(learn)


def added_by_hand(path):
    """A Learner of fastai's with our loaders: once by fastai's trainer alone, then by ours."""
    from siren_fastai.distributed import SharedTrainer

    ours = learner(path)
    learn = quiet(Learner(ours.dls, ours.model, metrics=ours.metrics, opt_func=ours.opt_func, wd=0.0))
    try:
        with learn.distrib_ctx(cpu=True, sync_bn=False):
            learn.fit(1, 5e-3)
        message = "no error"
    except TypeError as error:
        message = str(error)
    ours = learner(path)
    learn = quiet(Learner(ours.dls, ours.model, metrics=ours.metrics, opt_func=ours.opt_func, wd=0.0))
    learn.add_cbs([MetricHistory(), SharedTrainer()])
    learn.fit(4, 5e-3)
    return {"message": message, "psnr": learn.metric_history.rows[-1]["psnr"]}


def fastais_own(path):
    """An ordinary Learner of fastai's, with its own trainer and loaders, on 45 items that two processes can't halve."""
    learn = plain_learner(path, metrics=PSNR(clamp=False), cbs=[MetricHistory()])
    del learn.dls.train.dataset[45:]  # training and validation have the same items
    for dl in learn.dls:
        dl.n = 45
    before = learn.model[0].weight.tolist()
    with learn.distrib_ctx(cpu=True, sync_bn=False):
        learn.fit(2, 5e-3, cbs=FreezeLayers("0.*"))
    x, y = (torch.stack(values) for values in zip(*learn.dls.valid.dataset, strict=True))
    truth = psnr(learn.model.eval()(x).detach(), y, clamp=False)
    row = learn.metric_history.rows[-1]
    kept = learn.model[0].weight.tolist() == before
    return {"psnr": row["psnr"], "truth": truth, "kept": kept, "samples_seen": row["samples_seen"]}


class FaultOfLastProcess(Callback):
    """Shows a loss that isn't finite to the process with the highest rank, at the fifth step."""

    order = 30  # before the wheels

    def after_loss(self):
        if self.training and self.train_iter == 4 and rank_distrib() == num_distrib() - 1:
            self.learn.loss = self.loss * float("nan")


def reverted(path):
    """A Learner of fastai's, where each process has a loss of its own."""
    learn = plain_learner(path, cbs=[TrainingWheels(every=2, check=1), FaultOfLastProcess()])
    with learn.distrib_ctx(cpu=True, sync_bn=False):
        learn.fit(4, 1e-2)
    rows = [{name: row[name] for name in ("step", "restored_step", "lr")} for row in learn.training_wheels.reverts]
    weights = torch.cat([p.detach().flatten() for p in learn.model.parameters()]).tolist()
    return {"rows": rows, "weights": weights, "reasons": [row["reason"] for row in learn.training_wheels.reverts]}


def pictures(path):
    """Augmented images in an ordinary Learner; what each process saw in the first batch, and where the fit ended."""
    set_seed(0, reproducible=True)
    several = max(num_distrib(), 1)
    dls = tile_dataloaders(bs=12 // several, count=63, valid=3, gray=True, cache=False, path=path)
    model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 8), nn.Linear(8, 1024), nn.Unflatten(1, (1, 32, 32)))
    learn = quiet(Learner(dls, model, lr=0.01, cbs=[MetricHistory(), KeepFirstBatch()]))
    if several > 1:
        from siren_fastai.distributed import SharedTrainer

        learn.add_cb(SharedTrainer())
    learn.fit(3)
    weights = torch.cat([p.detach().flatten() for p in learn.model.parameters()])
    losses = [row["valid_loss"] for row in learn.metric_history.rows]
    return {"losses": losses, "weights": weights[::500].tolist(), "first": learn.keep_first_batch.seen}


class KeepFirstBatch(Callback):
    """Keeps the sum of each image of the first training batch."""

    seen = None

    def before_batch(self):
        if self.training and self.seen is None:
            self.seen = (255 * self.x).round().sum((1, 2, 3)).tolist()


BOTH = (  # compared with one process
    plain,
    off_grid,
    fixed_order,
    two_fits,
    quantized,
    stopped,
    stopped_early,
    autoencoder,
    autoencoder_by_samples,
    inpainting,
)
SEVERAL = (
    inpainting_parts,
    other_holes,
    autoencoder_parts,
    other_pictures,
    frozen,
    drawn_late,
    files,
    predictions,
    interrupted,
    saved_best,
    pictures,
    added_by_hand,
    other_data,
    too_few_samples,
    rate_finder,
    fastais_own,
    reverted,
)


def broadcast(self, indices, rank):
    """fastai 2.8.12's `DistributedDL._broadcast` without `.cuda()`, which it calls whatever the device."""
    indices = torch.tensor(indices)
    torch.distributed.broadcast(indices, rank)
    return indices.tolist()


def main(folder: Path) -> None:
    from fastai.distributed import DistributedDL  # the module gives Learner.distrib_ctx

    DistributedDL._broadcast = broadcast  # only fastai's own loaders call it
    rank = rank_distrib()
    found = {fit.__name__: fit(folder) for fit in BOTH + SEVERAL}
    (folder / f"rank_{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

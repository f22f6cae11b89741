"""Training one network in several processes, each with a part of every batch. Needs accelerate, as fastai does."""

import torch
from fastai.distributed import DistributedTrainer
from fastai.learner import AvgLoss, Learner
from fastai.torch_core import noop
from torch import Tensor, nn

from siren_fastai.data.indexed import IndexedDL
from siren_fastai.data.share import Share, samples_of_batch
from siren_fastai.processes import all_values, first_value, process_count, sum_of_all, unwrapped

__all__ = ["SharedTrainer"]


class SharedTrainer(DistributedTrainer):
    """fastai's `DistributedTrainer` for loaders that are indexed whole: a fit is that of one process, but for rounding.

    Each batch of one process, with `bs` times the number of processes, is divided among the processes, and the
    gradients of the parts are averaged by their sizes. No sample is repeated. Losses, PSNR and SSIM are those of all
    samples and the same on every process to the last bit, so that a callback which ends a fit by them ends it
    everywhere; other metrics, which fastai averages, may differ in the last bits. The processes start from the weights
    and the shuffling of the first, and the network is wrapped for them after other callbacks have drawn, frozen or
    quantised its weights. `PixelLearner.distrib_ctx` adds this callback.
    Batch normalisation is over the samples of all processes on GPUs, unless `sync_bn` is off. On processors PyTorch has
    none of that: each process normalises by its own part, and a fit with it is not that of one process.
    Memory: every process holds the whole signal, and the activations of its part of a batch.
    Raises: ValueError as a fit begins if the processes' loaders differ, or a batch has fewer samples than processes;
        for `lr_find`.
    """

    def __init__(
        self,
        sync_bn: bool = True,  # on GPUs, batch norm over the samples of all processes
        **kwargs,  # of accelerate's `Accelerator`; without a GPU, `cpu` is True
    ):
        super().__init__(sync_bn, **{"cpu": not torch.cuda.is_available(), **kwargs})
        self.shared, self.outside, self.replaced = [], [], None

    def before_fit(self):
        self.release()  # left by an interrupted fit
        if hasattr(self, "lr_finder") and self.accelerator.num_processes > 1:
            raise ValueError(
                "`lr_find` works in one process alone, as fastai writes the weights in one and reads them in all: call "
                "it in a run without torchrun"
            )
        device = self.accelerator.device
        device = device if device.type != "cpu" else torch.device("cpu")  # accelerate's "cpu:0" can't load weights
        self.model.to(device)
        self.dls.to(device)
        self.replaced = list(self.dls), self.recorder.loss
        self._use([self._wrap_dl(dl) for dl in self.dls], PooledLoss())
        if not self.accelerator.is_main_process:
            self.learn.logger = noop

    def before_train(self):
        super().before_train()
        if unwrapped(self.model) is self.model:
            sync_bn = self.sync_bn and self.accelerator.device.type == "cuda"
            model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model) if sync_bn else self.model
            self.learn.model = self.accelerator.prepare(model)
            inside = {id(p) for p in model.parameters()}
            self.outside = [p for group in self.opt.param_lists for p in group if id(p) not in inside]

    def after_loss(self):
        if self.training and any(self.dl is dl for dl in self.shared):
            own, total = self.dl.sizes
            self.learn.loss_grad = self.loss_grad * (own * self.dl.share.count / total)  # gradients are averaged
            self.learn.loss = self.dl.to_detach(self.loss, cpu=False)

    def after_backward(self):
        for parameter in self.outside:  # such as learned step sizes: PyTorch averages the network's own alone
            if parameter.grad is not None:
                parameter.grad = sum_of_all(parameter.grad) / process_count()

    def after_fit(self):
        self.release()

    def release(self):
        """Give the learner its own network, loaders and loss again."""
        self.learn.model = unwrapped(self.model)
        if self.replaced is not None:
            self._use(*self.replaced)
        for dl in self.shared:
            dl.share = Share()
        self.shared, self.outside, self.replaced = [], [], None

    def _use(self, loaders, loss):
        self.learn.dls.loaders = loaders
        vars(self.recorder)["loss"] = loss  # past fastai's warning of attributes that the learner has too

    def _wrap_dl(self, dl):
        if not isinstance(dl, IndexedDL):
            return super()._wrap_dl(dl)
        if not any(dl is other for other in self.shared) and self.accelerator.num_processes > 1:
            _check_same(dl)
            dl.share = Share(self.accelerator.process_index, self.accelerator.num_processes)
            dl.rng.setstate(first_value(dl.rng.getstate()))
            self.shared.append(dl)
        return dl


class PooledLoss(AvgLoss):
    """fastai's average loss with the batches weighted by all their samples: the same on every process."""

    def accumulate(self, learn: Learner) -> None:
        n = samples_of_batch(learn)
        self.total += learn.to_detach(learn.loss.mean()) * n
        self.count += n


def _check_same(dl: IndexedDL) -> None:
    """Raise ValueError if a loader has other samples or another fixed order than those of the other processes."""
    held = dl.dataset.checksums() if hasattr(dl.dataset, "checksums") else getattr(dl.dataset, "pixels", None)
    found = all_values((dl.epoch_size, dl.bs, *(_checksum(order) for order in (held, getattr(dl, "visits", None)))))
    if any(other != found[0] for other in found):
        raise ValueError(
            "the processes hold other samples, or in another order: make the same DataLoaders in each, and call "
            "`set_seed(42)` before, which also determines what is held out"
        )


def _checksum(order: Tensor | None) -> int | None:
    """A number that changes with the order of the indices."""
    if order is None:
        return None
    return int((order.long() * torch.arange(1, len(order) + 1, device=order.device)).sum())

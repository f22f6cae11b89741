"""A fastai loader whose batch is `dataset[index tensor]`: no Python per sample, no workers, no collation."""

import math
import operator
from collections.abc import Iterator
from itertools import islice
from types import MethodType

import torch
from fastai.data.core import TfmdDL
from fastai.torch_core import apply, explode_types, to_detach, to_device
from fastcore.meta import delegates
from torch import Tensor

from siren_fastai.data.share import Share, batch_size
from siren_fastai.processes import gather_rows, sum_of_all

__all__ = ["IndexedDL", "checked_count"]

# fastai's options for a loader that reads samples one by one; those that are on would have no effect here
UNUSED = ("num_workers", "pin_memory", "timeout", "persistent_workers", "wif", "sample", "shuffle_fn", "retain")
UNUSED += ("after_item", "create_item", "create_batches")


class IndexedDL(TfmdDL):
    """A fastai `TfmdDL` for datasets that are indexed with many samples at once.

    The dataset has `__len__`, `device`, `to_(device)`, `new_empty()`, and `dataset[index]`, which gives the batch, a
    tuple of tensors, for a slice or an integer tensor on its device. It may have `n_inp`, `loss_func` and `split_idx`,
    as fastai's datasets do. Shuffling is a permutation drawn on the dataset's device and seeded by `random`, as
    fastai's is.

    An epoch's samples are divided into batches of nearly equal size, `bs` at most. `drop_last=True` makes batches of
    exactly `bs` and leaves the remainder out. `before_batch` transforms a batch's index tensor, `after_batch` the
    batch. A subclass that changes how a batch is made overrides `create_batch`, and draws with `device_generator()`.

    Several processes divide each batch among them by their `share`, so that `bs` counts the samples of one process and
    the batches are those of one process with `bs` times as many.
    Raises: ValueError for options of fastai's that only make sense sample by sample, such as `num_workers`.
    """

    @delegates(TfmdDL.__init__, but=list(UNUSED))
    def __init__(
        self,
        dataset,  # indexed with a slice or an integer tensor
        bs: int = 64,  # samples per batch, at most
        shuffle: bool = False,  # draw a new order each epoch
        drop_last: bool = False,  # batches of exactly `bs`, without the remainder
        n: int | None = None,  # use the first `n` samples only; None is all
        batch_size: int | None = None,  # PyTorch's name for `bs`
        **kwargs,
    ):
        _check_used(kwargs)
        bs = checked_count("bs", bs) if batch_size is None else checked_count("batch_size", batch_size)
        n = len(dataset) if n is None else checked_count("n", n)
        kwargs["num_workers"] = 0  # or fastai would start some
        self.share, self.sizes = Share(), None  # `sizes` of the current batch: this process' part, all parts
        super().__init__(dataset, bs=bs, shuffle=shuffle, drop_last=drop_last, n=n, **kwargs)
        self._check_size()

    def __len__(self) -> int:
        size, bs = self.epoch_size, self.total_bs
        return size // bs if self.drop_last else math.ceil(size / bs)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.shown_options().items())
        return f"{type(self).__name__}(batches={len(self)}, {options}, dataset={self.dataset!r})"

    def shown_options(self) -> dict:
        """The options that `repr` shows."""
        return {"bs": self.bs, "shuffle": self.shuffle} | ({"drop_last": True} if self.drop_last else {})

    @property
    def epoch_size(self) -> int:
        """Samples per epoch, before `drop_last`."""
        return self.n

    @property
    def total_bs(self) -> int:
        """Samples per batch, at most, of all processes."""
        return self.bs * self.share.count

    def device_generator(self) -> torch.Generator:
        """A generator on the dataset's device, seeded by the loader's `rng`, so by `random` in the end."""
        return torch.Generator(self.dataset.device).manual_seed(self.rng.getrandbits(63))

    def get_idxs(self) -> Tensor:
        """The indices of one epoch, in order, on the dataset's device."""
        device = self.dataset.device
        return self.permutation(self.device_generator()) if self.shuffle else torch.arange(self.n, device=device)

    def permutation(self, generator: torch.Generator) -> Tensor:
        """A random order of the `n` samples; int32, which is half the bytes of PyTorch's default."""
        return torch.randperm(self.n, generator=generator, device=generator.device, dtype=torch.int32)

    def before_iter(self) -> None:
        super().before_iter()
        self._check_size()
        if self.after_item.fs:
            raise ValueError("`after_item` transforms never run: a batch is indexed whole; use `after_batch`")

    def __iter__(self):
        self.randomize()
        self.before_iter()
        for index in self._batches():
            batch = self.do_batch(index)
            yield self.after_batch(batch if self.device in (None, self.dataset.device) else self._moved(batch))
        self.after_iter()

    def do_batch(self, b):
        """This process' part of the batch at the index `b`, on the dataset's device."""
        return self.create_batch(self.own_part(self.before_batch(b)))

    def own_part(self, b: slice | Tensor) -> slice | Tensor:
        """This process' part of a batch's index or rows; `sizes` are those of this batch from here on."""
        if self.share.count == 1:
            return b
        part = self.share.of(b)
        self.sizes = batch_size(part), batch_size(b)
        return part

    def create_batches(self, samps):
        """What fastai's `DistributedDL` calls, to read sample by sample. Raises: TypeError that says what to do."""
        raise TypeError(
            f"`{type(self).__name__}` divides its own batches among processes: use `siren_learner`, which adds what it "
            "needs, or `learn.add_cb(siren_fastai.distributed.SharedTrainer())` in place of fastai's `distrib_ctx`"
        )

    def create_batch(self, b):
        """The batch at the index `b`, a slice or an integer tensor."""
        return self.dataset[b]

    def _moved(self, batch):
        return to_device(batch, self.device)

    def _batches(self) -> Iterator[slice | Tensor]:
        """The index of each batch; slices, which copy nothing, where the samples are taken as they stand."""
        size, count = self.epoch_size, len(self)
        used = count * self.total_bs if self.drop_last else size
        if self._in_sequence() and not self.before_batch.fs:
            return (slice(i * used // count, (i + 1) * used // count) for i in range(count))
        index = self.get_idxs()
        index = index if isinstance(index, Tensor) else torch.tensor(list(islice(index, size)), dtype=torch.long)
        return iter(index.to(self.dataset.device)[:used].tensor_split(count) if count else ())

    def _in_sequence(self) -> bool:
        """Whether an epoch is the samples as they stand; fastai's `get_preds` replaces `get_idxs` to fix an order."""
        return not self.shuffle and isinstance(self.get_idxs, MethodType)

    def _check_size(self) -> None:
        if self.n > len(self.dataset):
            raise ValueError(f"`n` must be at most the {len(self.dataset)} samples of the dataset, got {self.n}")
        if self.drop_last and 0 < self.epoch_size < self.total_bs:
            raise ValueError(
                f"`drop_last` leaves no batch: `bs` is {self.bs} and there are {self.epoch_size} samples; lower `bs`"
            )
        if self.share.count > 1 and self.epoch_size < self.share.count * len(self):
            raise ValueError(
                f"{self.epoch_size} samples in {len(self)} batches are too few for {self.share.count} processes: each "
                "needs one of every batch; use fewer processes"
            )

    def _one_pass(self) -> None:
        """fastai's trial batch, which tells the types and the number of inputs. An exported dataset has no sample."""
        batch = self.dataset[:1]
        batch = self.after_batch(batch) if len(self.dataset) else batch
        self._n_inp, self._types = max(1, len(batch) - 1), explode_types(batch)

    def to_detach(self, b, cpu: bool = True, gather: bool = True):
        """As fastai's, for metrics and predictions: of the whole batch where several processes have parts of it.

        Rows are gathered in the batch's order; of numbers, such as a loss, the mean over the samples is taken.
        """
        if gather and self.share.count > 1:
            own, total = self.sizes
            b = apply(lambda x: gather_rows(x.detach()) if x.ndim else sum_of_all(x.detach() * (own / total)), b)
        return to_detach(b, cpu, gather=False)

    def to(self, device) -> "IndexedDL":
        """Move the dataset to `device`, in place: loaders that share it move together."""
        self.dataset.to_(device)
        self.device = device
        return self

    def one_batch(self):
        """The first batch of an epoch. Raises: ValueError if the dataset is empty, as after `load_learner`."""
        if not len(self):
            raise ValueError("this loader holds no samples (an exported learner keeps none); give it new data")
        return next(iter(self))


def checked_count(name: str, value) -> int:
    """`value` as an integer of 1 or more, of any integer type. Raises: ValueError that names the option."""
    if isinstance(value, (bool, Tensor)) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"`{name}` must be an integer of 1 or more, got {value!r}")
    return operator.index(value)


def _check_used(options: dict) -> None:
    """A fastai pipeline without functions counts as not given: `new` passes those on."""
    unused = [name for name in UNUSED if getattr(options.get(name), "fs", options.get(name))]
    if unused:
        raise ValueError(
            f"`{unused[0]}` has no effect here: a batch is one indexing operation in this process, without items to "
            "load or to transform; leave it out, or use `before_batch` (on the index) and `after_batch` (on the batch)"
        )

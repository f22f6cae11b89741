"""Which part of every batch a process takes when several of them train one network."""

from dataclasses import dataclass

from fastai.torch_core import find_bs
from torch import Tensor

__all__ = ["Share", "batch_size", "drop_repeats", "is_shared", "samples_of_batch"]


@dataclass(frozen=True)
class Share:
    """The part of process `rank` out of `count` processes."""

    rank: int = 0
    count: int = 1

    def of(self, batch: slice | Tensor) -> slice | Tensor:
        """This process' part of the slice, or of the rows. Parts differ in size by one sample at most."""
        n = batch_size(batch)
        start, stop = (part * n // self.count for part in (self.rank, self.rank + 1))
        return slice(batch.start + start, batch.start + stop) if isinstance(batch, slice) else batch[start:stop]


def batch_size(batch: slice | Tensor) -> int:
    """The number of samples that a slice with both ends, or an index, stands for."""
    return batch.stop - batch.start if isinstance(batch, slice) else len(batch)


def is_shared(dl) -> bool:
    """Whether several processes take parts of the batches of `dl`: a loader of ours, or fastai's `DistributedDL`."""
    return getattr(dl, "share", Share()).count > 1 or getattr(dl, "world_size", 1) > 1


def samples_of_batch(learn) -> int:
    """The samples in the learner's batch, with the parts of the other processes."""
    if getattr(learn.dl, "share", Share()).count > 1:
        return learn.dl.sizes[1]
    return find_bs(learn.yb) * getattr(learn.dl, "world_size", 1)  # fastai's gives as many to each


def drop_repeats(dl, samples: Tensor) -> Tensor:
    """A batch's `samples` (n, ...) without those that fastai's `DistributedDL` repeats to give each process as many.

    It divides an epoch into one run of samples per process; the repeats stand at the end of the last.
    """
    if not hasattr(dl, "n_padded"):
        return samples
    first = dl.rank * dl.n_padded // dl.world_size + dl.i - len(samples)
    return samples[: max(0, min(len(samples), dl.n - first))]

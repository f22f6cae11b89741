"""What several processes of one training run tell each other. With one process, each function returns what it got.

The processes are those of `torch.distributed`'s default group, and every one of them must call the function.
"""

import torch
from torch import Tensor, distributed, nn

__all__ = ["all_values", "first_value", "gather_rows", "joined_rows", "process_count", "sum_of_all", "unwrapped"]


def process_count() -> int:
    """The number of processes, 1 where no group was started."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def all_values(value) -> list:
    """The `value` of every process, any small object, in the order of their ranks: the same list on all of them."""
    if process_count() == 1:
        return [value]
    values = [None] * process_count()
    distributed.all_gather_object(values, value)
    return values


def first_value(value):
    """The `value` of the first process, rank 0: any small object."""
    if process_count() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def sum_of_all(values: Tensor) -> Tensor:
    """The sum of every process' `values`, which have one shape."""
    values = values.clone()
    if process_count() > 1:
        distributed.all_reduce(values)
    return values


def gather_rows(
    rows: Tensor,  # (n, ...), where each process has its own n, on a device that the group sends from
) -> Tensor:  # (sum of n, ...)
    """The rows of all processes, in the order of their ranks."""
    if process_count() == 1:
        return rows
    counts = all_values(len(rows))
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])


def joined_rows(
    rows: Tensor,  # (n, ...), as for `gather_rows`
) -> Tensor:  # (sum of n, ...)
    """The rows of all processes; gradients flow into this process' own alone.

    Of a function of all rows, which every process computes, each has a part of the gradient: their sum is the whole.
    """
    if process_count() == 1:
        return rows
    start = sum(all_values(len(rows))[: distributed.get_rank()])
    others = gather_rows(rows.detach())
    return torch.cat([others[:start], rows, others[start + len(rows) :]])


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself where `model` is PyTorch's wrapper for several processes."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model

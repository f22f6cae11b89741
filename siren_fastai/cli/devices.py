"""Where to compute, and how to compute the same thing twice."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from siren_fastai.cli.errors import CommandError

__all__ = ["deterministic", "device_of"]


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one. Raises: CommandError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CommandError(f"--device {name}: not available here ({reason})") from None
    return device


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Let torch choose algorithms that give the same result each time, for the duration of the block."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a help in finding faults, at a price
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filling

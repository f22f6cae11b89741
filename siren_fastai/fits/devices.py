"""Where to compute, how much memory is left there, and how to compute the same thing twice."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

__all__ = ["available_memory", "deterministic", "device_of"]


SUPPORTED = ("cpu", "cuda")  # not mps, Apple's GPUs: nothing has been tried there, and they have no float64


def device_of(
    name: str,  # "cpu", "cuda", "cuda:<n>", or "auto": a GPU if there is one
) -> torch.device:
    """Return the device of that name. Raises: ValueError if it is not available, or neither a CPU nor a CUDA GPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in SUPPORTED:
            raise RuntimeError(f"{device.type} is not supported; give auto, cpu, cuda or cuda:<n>")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ValueError(f"`device` {name}: not available here ({reason})") from None
    return device


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Let torch choose algorithms that give the same result each time, for the duration of the block."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # it helps to find bugs, and takes time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filling


def available_memory(device: torch.device) -> int | None:
    """Return the free memory of the device in bytes, or None if that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([*free, *_control_group()]) if free else None


def _control_group() -> list[int]:
    """What a container's limit leaves, if it has one."""
    try:
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        return [int(limit) - int(used)]
    except (OSError, ValueError):
        return []

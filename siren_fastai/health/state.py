"""A copy of all that training changes: a network, its optimiser, the scaler of mixed precision, random states."""

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["TrainingState", "kept_random_state", "random_state", "set_random_state"]

GROUPS = ("hypers", "param_groups")  # where optimisers of fastai and PyTorch keep settings, and some of them steps
SCHEDULED = ("lr", "mom", "momentum", "betas", "sqr_mom", "alpha", "wd", "weight_decay", "eps")


@dataclass
class TrainingState:
    """Copies of tensors and states, to be put back into the same objects."""

    tensors: dict[str, Tensor]  # parameters and buffers by name
    optimizer: dict  # its `state_dict()`
    scaler: dict | None
    random: dict

    @classmethod
    def of(
        cls,
        model: nn.Module,
        optimizer,  # any with `state_dict` and `load_state_dict`, such as PyTorch's and fastai's
        scaler=None,  # a `GradScaler`
        device: str | torch.device | None = None,  # where the copies are kept; None is where the tensors are
        into: "TrainingState | None" = None,  # an earlier copy, whose memory is used again: it is no copy afterwards
    ) -> "TrainingState":
        """Copy everything, on the device that is asked for.

        New memory costs a processor six times as much as memory that is used again.
        """
        with torch.no_grad():
            tensors = _copied(_tensors(model), device, into and into.tensors)
            state = _copied(optimizer.state_dict(), device, into and into.optimizer)
        return cls(tensors, state, scaler and _copied(scaler.state_dict()), random_state())

    @torch.no_grad()
    def restore_(self, model: nn.Module, optimizer, scaler=None) -> None:
        """Put the copies back, bit for bit. Rates, momenta and what else a schedule sets stay as they are now.

        Raises: ValueError if the network has other tensors than when it was copied; nothing is changed then.
        """
        tensors = _tensors(model)
        shapes = [{name: t.shape for name, t in some.items()} for some in (self.tensors, tensors)]
        if shapes[0] != shapes[1]:
            changed = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
            raise ValueError(f"the network has changed since it was copied: {', '.join(dict.fromkeys(changed))}")
        for name, tensor in tensors.items():
            tensor.copy_(self.tensors[name])
        device = next((t.device for t in tensors.values()), None)
        optimizer.load_state_dict(_with_settings(_copied(self.optimizer, device), optimizer.state_dict()))
        if scaler is not None and self.scaler is not None:
            scaler.load_state_dict(_copied(self.scaler))
        set_random_state(self.random)


def random_state() -> dict:
    """The states of the global generators of Python, numpy and torch, its GPUs included if they were used."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return dict(python=random.getstate(), numpy=np.random.get_state(), torch=torch.get_rng_state(), gpus=gpus)


def set_random_state(state: dict) -> None:
    """Set the generators to what `random_state` returned."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["gpus"] is not None:
        torch.cuda.set_rng_state_all(state["gpus"])


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Leave the global generators after the block as they were before it."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, those that `state_dict` leaves out included."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _with_settings(state: dict, now: dict) -> dict:
    """An optimiser's state with the settings that it has now."""
    for key in GROUPS:
        for group, current in zip(state.get(key, ()), now.get(key, ()), strict=True):
            group.update({name: value for name, value in current.items() if name in SCHEDULED})
    return state


def _copied(value, device=None, into=None):
    """A deep copy of nested states, with the tensors on `device`, in the memory of those in `into` where they fit.

    Tensors without dimensions, such as step counts, are copied where optimisers keep them.
    """
    if isinstance(value, Tensor):
        device = torch.device(device) if device is not None and value.dim() else value.device
        alike = isinstance(into, Tensor) and (into.shape, into.dtype, into.device) == (value.shape, value.dtype, device)
        return into.copy_(value.detach()) if alike else value.detach().to(device, copy=True)
    if isinstance(value, Mapping):
        known = into if isinstance(into, Mapping) else {}
        return {key: _copied(item, device, known.get(key)) for key, item in value.items()}
    if isinstance(value, list | tuple) or type(value).__name__ == "L":  # fastcore's list, in fastai's Lookahead
        known = into if type(into) is type(value) and len(into) == len(value) else [None] * len(value)
        return type(value)([_copied(item, device, old) for item, old in zip(value, known, strict=True)])
    return copy.deepcopy(value)

"""An optimiser's state as JSON and tensors: out of an optimiser, into a file, and back."""

import torch
from fastai.learner import Learner
from torch import Tensor

__all__ = ["load_optimizer_", "pack", "unpack"]


def pack(tree, tensors: dict[str, Tensor]):
    """Return `tree` (nested dicts, lists and tuples) as JSON; its tensors go to `tensors` under new names."""
    if isinstance(tree, Tensor):
        name = f"optimizer.{len(tensors)}"
        order = sorted(range(tree.dim()), key=tree.stride, reverse=True)  # kept: a sum in another order is another sum
        tensors[name] = tree.detach().cpu().permute(order).clone().contiguous()
        return {"tensor": [name, *order]}
    if isinstance(tree, dict):
        return {"dict": [[pack(key, tensors), pack(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, tuple):
        return {"tuple": [pack(item, tensors) for item in tree]}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    return [pack(item, tensors) for item in tree]  # lists and fastai's


def unpack(tree, tensors: dict[str, Tensor]):
    """Return what `pack` packed. Raises: ValueError, TypeError or LookupError for JSON of another form."""
    if isinstance(tree, list):
        return [unpack(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        name, *order = content
        tensor = tensors[name].clone()  # aligned as torch's own are: matrix products may sum otherwise in other places
        return tensor.permute(sorted(range(len(order)), key=order.__getitem__))
    if kind == "tuple":
        return tuple(unpack(item, tensors) for item in content)
    if kind != "dict":
        raise ValueError(f"its optimiser's state has an unknown part {kind!r:.40}")
    return {unpack(key, tensors): unpack(value, tensors) for key, value in content}


def load_optimizer_(
    learn: Learner,
    state,  # an optimiser's `state_dict()`
) -> Learner:
    """Give the learner a new optimiser with this state, on the learner's device.

    Raises: ValueError if it is the state of another optimiser or network.
    """
    learn.model.to(learn.dls.device)
    learn.create_opt()
    try:
        learn.opt.load_state_dict(_on(state, learn.dls.device))
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise ValueError(
            f"the checkpoint's optimiser state does not fit this network and `opt_func` ({error!r:.200})"
        ) from None
    return learn


def _on(tree, device: torch.device):
    """The state with its tensors on `device`, but step counters where they were."""
    if isinstance(tree, Tensor):
        return tree.to(device) if tree.dim() else tree
    if isinstance(tree, dict):
        return {key: _on(value, device) for key, value in tree.items()}
    return type(tree)(_on(item, device) for item in tree) if isinstance(tree, (list, tuple)) else tree

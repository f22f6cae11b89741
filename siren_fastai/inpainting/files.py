"""The file of an inpainting network: safetensors, which cannot run code.

Its tensors are the network's under their state names; its metadata has one entry, `siren_fastai`, which is JSON:

    format, version    "siren_fastai inpainting network", 1
    settings           what `inpainting_network(**settings)` builds the network from
    about              plain values for people, such as how it was trained

Floating-point tensors are float32 or float16; a network that is read has float32.
"""

import json
import os
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from siren_fastai.files import replacing
from siren_fastai.inpainting.networks import InpaintingNetwork, inpainting_network
from siren_fastai.models.describe import shapes_of
from siren_fastai.processes import unwrapped

__all__ = ["load_network", "save_network"]

FORMAT, VERSION = "siren_fastai inpainting network", 1
SUFFIX = ".safetensors"


def save_network(
    model: InpaintingNetwork,  # as `unet(...)` makes it
    path: str | os.PathLike,  # ends in .safetensors
    half: bool = False,  # write kernels in float16: half the bytes
    about: dict | None = None,  # plain values to keep with it, as how it was trained
) -> Path:
    """Write a network to a file and return its path; an interrupted write leaves an older file whole.

    Raises: TypeError for a network of another kind; ValueError for one that was changed or diverged, for another
    suffix, or what JSON can't hold; OSError for a path that can't be written.
    """
    path, model = Path(path), unwrapped(model)
    if path.suffix != SUFFIX:
        raise ValueError(f"the file of a network must end in {SUFFIX}, got '{path}'")
    _check_network(model)
    header = {"format": FORMAT, "version": VERSION, "settings": model.settings, "about": dict(about or {})}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    if half:
        tensors = {name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in tensors.items()}
    _check_finite(tensors)
    content = safetensors.torch.save(tensors, {"siren_fastai": json.dumps(header, allow_nan=False)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def load_network(
    path: str | os.PathLike,
) -> InpaintingNetwork:
    """Read a network, on the CPU and in eval mode; nothing in the file is run. Its `about` is an attribute.

    Raises: ValueError for a file that is truncated, of another kind or inconsistent, before memory is taken for it;
    OSError for one that cannot be opened.
    """
    path = Path(path)
    with open(path, "rb"):  # an OSError of its own for what is missing or locked
        pass
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("siren_fastai", "{}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return _network(json.loads(text), tensors)
    except (SafetensorError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        reason = f"it lacks {reason}" if isinstance(error, KeyError) else reason
        raise ValueError(
            f"'{path}' is not an inpainting network that `save_network` wrote, or a damaged one: {reason}"
        ) from None


def _network(header: dict, tensors: dict[str, Tensor]) -> InpaintingNetwork:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    if header["version"] != VERSION:
        raise ValueError(f"it is of version {header['version']!r}, and this library reads version {VERSION}")
    settings, about = header["settings"], dict(header["about"])
    if max(len(settings.get(name) or ()) for name in ("widths", "dilation")) > len(tensors):
        raise ValueError(f"`settings` ask for more layers than {len(tensors)} tensors are for")
    with torch.device("meta"):
        empty = inpainting_network(**settings)
    expected, found = shapes_of(empty), {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        raise ValueError(f"its tensors {found!r:.60}... are not those of `settings`, {expected!r:.60}...")
    for name, wanted in empty.state_dict().items():
        floats = (torch.float32, torch.float16) if wanted.is_floating_point() else (wanted.dtype,)
        if tensors[name].dtype not in floats:
            raise ValueError(f"{name} must be of {' or '.join(map(str, floats))}, got {tensors[name].dtype}")
    _check_finite(tensors)
    with torch.random.fork_rng(devices=[]):
        model = inpainting_network(**settings)
    model.load_state_dict(tensors)
    model.about = about
    return model.eval()


def _check_network(model) -> None:
    if not isinstance(model, InpaintingNetwork):
        raise TypeError(
            f"`model` must be an inpainting network, as `unet()` makes it, got {type(model).__name__}: use "
            "`learn.export` for others"
        )
    with torch.device("meta"):
        built = shapes_of(inpainting_network(**model.settings))
    if built != shapes_of(model):
        raise ValueError("this network was changed in a way that its `settings` don't describe; use `learn.export`")


def _check_finite(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} holds NaN or infinite values: the training diverged, or float16 is too small")

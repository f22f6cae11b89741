"""The file of a learned start: safetensors, which cannot run code.

Its tensors are the weights, as `weights.0.linear.weight`, and their rates, as `rates.0.linear.weight`; its metadata has
one entry, `siren_fastai`, which is JSON: format, version, names (of the weights, in the network's order) and the other
attributes of `Start`.
"""

import json
import math
import os
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from siren_fastai.files import replacing
from siren_fastai.models.describe import build_model
from siren_fastai.models.siren import sine_layers
from siren_fastai.starts.start import START_SUFFIX, Start, weights_of

__all__ = ["load_start", "save_start"]

FORMAT, VERSION = "siren_fastai start", 1
MAX_SIDE, MAX_STEPS, MAX_NUMBER = 1 << 14, 1000, 1e9  # a hostile file must not ask for more


def save_start(
    start: Start,
    path: str | os.PathLike,  # ends in .safetensors
) -> Path:
    """Write a start to a file and return its path; an interrupted write leaves an older file whole.

    Raises: ValueError for another suffix, by which `ApplyInit` knows a start; OSError for a path that can't be written.
    """
    path = Path(path)
    if path.suffix != START_SUFFIX:
        raise ValueError(f"the file of a start must end in {START_SUFFIX}, got '{path}'")
    header = {"format": FORMAT, "version": VERSION, "names": list(start.weights)}
    header |= {name: getattr(start, name) for name in ("model", "sines", "size", "family", "about")}
    tensors = {f"weights.{name}": weight for name, weight in start.weights.items()}
    tensors |= {f"rates.{name}": rate for name, rate in start.rates.items()}
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(tensors, {"siren_fastai": json.dumps(header)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def load_start(
    path: str | os.PathLike,
) -> Start:
    """Read the file of a start, on the CPU; nothing in it is run.

    Raises: ValueError for a file that is damaged, of another kind or inconsistent; OSError for one that can't be
    opened.
    """
    path = Path(path)
    with open(path, "rb"):  # an OSError of its own for what is missing or locked
        pass
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("siren_fastai", "{}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return _start(json.loads(text), tensors)
    except (SafetensorError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        reason = f"it lacks {reason}" if isinstance(error, KeyError) else reason
        raise ValueError(f"'{path}' is not a start that `save_start` wrote, or a damaged one: {reason}") from None


def _start(header: dict, tensors: dict[str, Tensor]) -> Start:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    if header["version"] != VERSION:
        raise ValueError(f"it is of version {header['version']!r}, and this library reads version {VERSION}")
    names = [str(name) for name in header["names"]]
    weights, rates = ({name: tensors[f"{kind}.{name}"] for name in names} for kind in ("weights", "rates"))
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} must hold finite float32 numbers")
    sines = tuple((float(omega_0), float(gain)) for omega_0, gain in header["sines"])
    if not all(0 < number <= MAX_NUMBER for pair in sines for number in pair):
        raise ValueError(f"omega_0 and gain must be above 0 and at most {MAX_NUMBER:g}")
    _check_network(header["model"], weights, rates, len(sines))
    size = tuple(header["size"])
    if len(size) != 2 or any(type(n) is not int or not 1 <= n <= MAX_SIDE for n in size):
        raise ValueError(f"`size` must be (height, width), integers from 1 to {MAX_SIDE}, got {size!r:.80}")
    return Start(weights, rates, header["model"], sines, size, str(header["family"]), dict(header["about"]))


def _check_network(model: dict, weights: dict[str, Tensor], rates: dict[str, Tensor], n_sines: int) -> None:
    """Compare the shapes with those of the network, before any memory is taken for it."""
    if len(model.get("dims") or ()) > len(weights) + 1 or (model.get("hidden_layers") or 0) > len(weights):
        raise ValueError(f"`model` asks for more layers than {len(weights)} tensors are for")
    with torch.device("meta"):
        empty = build_model(model)
    needed = {name: tuple(w.shape) for name, w in weights_of(empty).items()}
    if not needed or {name: tuple(weight.shape) for name, weight in weights.items()} != needed:
        raise ValueError(f"its weights are not those of its network, {needed!r:.80}...")
    counts = {tuple(rate.shape) for rate in rates.values()}
    if len(counts) != 1 or len(*counts) != 1 or not 1 <= math.prod(*counts) <= MAX_STEPS:
        raise ValueError(f"each weight must have a rate for every step, got tensors of {sorted(counts)!r:.80}")
    if len(sine_layers(empty)) != n_sines:
        raise ValueError("its sine layers are not those of its network")

"""Checkpoints: a coordinate network, what it was trained on, and how to go on, in a file that can run no code.

A checkpoint is one safetensors file. Its tensors are the network's under their state names (`net.0.linear.weight`, ...)
and the optimiser's as `optimizer.0`, ...; its metadata has one entry, `siren_fastai`, which is JSON:

    format, version    "siren_fastai checkpoint", 1
    model              `Field.config`, from which `field_model(**config)` rebuilds the network
    sine_layers        [omega_0, gain] of every sine layer: initialisation schemes may change them
    size, grid         (height, width) of the picture and the convention of its coordinates
    value_range        what the network's values are in: [0, 1], or [-1, 1] as in the official code
    epoch, seed        epochs trained and the random seed
    options            plain values that whoever trained it wants back
    optimizer          its state as nested JSON, with its tensors as {"tensor": [name, order of its axes]}, or null

The same JSON lies beside it as `.json`, for people; it is not read.
"""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from siren_fastai.coords import GRIDS
from siren_fastai.files import replacing
from siren_fastai.models.field import Field, field_model
from siren_fastai.models.siren import sine_layers
from siren_fastai.render import render

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

FORMAT, VERSION = "siren_fastai checkpoint", 1
MOST_PIXELS = 1 << 28  # a hostile file must not ask for more


@dataclass
class Checkpoint:
    """A network with the picture's grid and the state of its training.

    `optimizer` is an optimiser's `state_dict()`: nested dicts, lists and tuples of tensors and plain values.
    """

    model: Field
    size: tuple[int, int]
    grid: str = "centers"
    value_range: tuple[float, float] = (0.0, 1.0)
    epoch: int = 0
    seed: int = 0
    options: dict = field(default_factory=dict)
    optimizer: object = None

    def render(self, size: int | tuple[int, int] | None = None, region: tuple[float, ...] | None = None) -> Tensor:
        """The picture at `size` (None: as it was fitted), or a region of it, as `siren_fastai.render.render` says.

        Shapes: (height, width, c) float32 in [0, 1], on the CPU.
        """
        low, high = self.value_range
        values = render(self.model, self.size if size is None else size, region, self.grid, clamp=None)
        return values.sub_(low).div_(high - low).clamp_(0, 1)


def save_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike) -> Path:
    """Write the file and its `.json`; an interrupted write leaves an older file whole. Returns `path`."""
    path, tensors = Path(path), {}
    state = checkpoint.model.state_dict()
    header = {"format": FORMAT, "version": VERSION, "model": checkpoint.model.config}
    header |= {"sine_layers": [[layer.omega_0, layer.gain] for layer in sine_layers(checkpoint.model)]}
    header |= {"size": list(checkpoint.size), "grid": checkpoint.grid, "value_range": list(checkpoint.value_range)}
    header |= {"epoch": checkpoint.epoch, "seed": checkpoint.seed, "options": checkpoint.options}
    header["optimizer"] = _pack(checkpoint.optimizer, tensors)
    tensors |= {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    text = json.dumps(header, indent=1)
    content = safetensors.torch.save(tensors, {"siren_fastai": text})
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({**header, "optimizer": None}, indent=1) + "\n", encoding="utf-8")
    return path


def load_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint, on the CPU; the random state is left as it is.

    Raises: ValueError for a file that is truncated, of another kind, or inconsistent (nothing in it is run, and no
    more memory is taken than its size justifies); OSError for one that cannot be opened.
    """
    path = Path(path)
    with open(path, "rb"):  # an OSError of its own for what is missing or locked
        pass
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("siren_fastai")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return _checkpoint(json.loads(text), tensors)
    except (SafetensorError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{path} is no checkpoint of this library, or a damaged one: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"it lacks {text}" if isinstance(error, KeyError) else text


def _checkpoint(header: dict, tensors: dict[str, Tensor]) -> Checkpoint:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    if header["version"] != VERSION:
        raise ValueError(f"it is of version {header['version']!r}, and this library reads version {VERSION}")
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
    size, (low, high) = tuple(header["size"]), header["value_range"]
    if len(size) != 2 or any(type(n) is not int or n < 1 for n in size) or math.prod(size) > MOST_PIXELS:
        raise ValueError(f"`size` must be (height, width) of at most {MOST_PIXELS} pixels, got {size!r:.80}")
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or header["grid"] not in GRIDS:
        raise ValueError(f"`value_range` {[low, high]!r:.80} or `grid` {header['grid']!r:.80} is impossible")
    if any(type(header[name]) is not int or header[name] < 0 for name in ("epoch", "seed")):
        raise ValueError("`epoch` and `seed` must be whole numbers of at least 0")
    model = _model(header["model"], header["sine_layers"], weights)
    options = dict(header["options"])
    optimizer = _unpack(header["optimizer"], tensors)
    return Checkpoint(
        model, size, header["grid"], (float(low), float(high)), header["epoch"], header["seed"], options, optimizer
    )


def _model(config: dict, sines: list, weights: dict[str, Tensor]) -> Field:
    """The network of `config` with these weights. Shapes are compared before any memory is taken."""
    if not isinstance(config, dict) or config.get("n_parameters") is not None or config.get("n_in") != 2:
        raise ValueError("`model` must be the settings of a network of 2 coordinates")
    depth = max(config.get("hidden_layers") or 0, len(config.get("dims") or ()) - 2)
    if depth > len(weights):
        raise ValueError(f"`model` asks for {depth} layers, but the file has {len(weights)} tensors")
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in field_model(**config).state_dict().items()}
    found = {name: tuple(t.shape) for name, t in weights.items()}
    if expected != found:
        raise ValueError(f"its tensors {found!r:.60}... are not those of `model`, {expected!r:.60}...")
    if any(tensor.dtype != torch.float32 for tensor in weights.values()):
        raise ValueError("its weights must be float32")
    with torch.random.fork_rng(devices=[]):
        model = field_model(**config)
    model.load_state_dict(weights)
    layers = sine_layers(model)
    for layer, (omega_0, gain) in zip(layers, sines, strict=True):
        if not (0 < omega_0 < math.inf and 0 < gain < math.inf):
            raise ValueError(f"omega_0 and gain must be above 0, got {omega_0!r} and {gain!r}")
        layer.omega_0, layer.gain = float(omega_0), float(gain)
    return model


def _pack(tree, tensors: dict[str, Tensor]):
    """`tree` as JSON; its tensors go to `tensors` under new names."""
    if isinstance(tree, Tensor):
        name = f"optimizer.{len(tensors)}"
        order = sorted(range(tree.dim()), key=tree.stride, reverse=True)  # kept: a sum in another order is another sum
        tensors[name] = tree.detach().cpu().permute(order).clone().contiguous()
        return {"tensor": [name, *order]}
    if isinstance(tree, dict):
        return {"dict": [[_pack(key, tensors), _pack(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, tuple):
        return {"tuple": [_pack(item, tensors) for item in tree]}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    return [_pack(item, tensors) for item in tree]  # lists and fastai's


def _unpack(tree, tensors: dict[str, Tensor]):
    if isinstance(tree, list):
        return [_unpack(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        name, *order = content
        tensor = tensors[name].clone()  # aligned as torch's own are: matrix products may sum otherwise in other places
        return tensor.permute(sorted(range(len(order)), key=order.__getitem__))
    if kind == "tuple":
        return tuple(_unpack(item, tensors) for item in content)
    if kind != "dict":
        raise ValueError(f"its optimiser's state has an unknown part {kind!r:.40}")
    return {_unpack(key, tensors): _unpack(value, tensors) for key, value in content}

"""Checkpoints: a coordinate network, what it was trained on, and how to continue, in a file that cannot run code.

A checkpoint is one safetensors file. Its tensors are the network's under their state names (`net.0.linear.weight`, ...)
and the optimiser's as `optimizer.0`, ...; its metadata has one entry, `siren_fastai`, which is JSON:

    format, version    "siren_fastai checkpoint", 1 or 2
    model              `Field.config`, or (version 2) any description of `siren_fastai.models.describe`
    sine_layers        [omega_0, gain] of every sine layer: initialisation schemes may change them
    size, grid         the signal's shape, (height, width) of an image, and the convention of its coordinates; in
                       version 2 of 1 to 8 axes, and null for positions that aren't a regular grid
    value_range        the range of the network's values: [0, 1], or [-1, 1] as in the official code; in version 2 null
                       for values of no stated range
    output_range       (version 2) the range in which `render` returns them, or null; [0, 1] in version 1
    epoch, seed        epochs trained and the random seed
    options            plain values that whoever trained it wants back
    optimizer          its state as nested JSON, with its tensors as {"tensor": [name, order of its axes]}, or null

Version 2 is written where version 1 cannot say it. The same JSON lies next to the file as `.json`, for people; it is
not read.
"""

import json
import math
import os
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from siren_fastai.coords import GRIDS
from siren_fastai.files import replacing
from siren_fastai.fits.packing import pack, unpack
from siren_fastai.fits.state import UNIT, Checkpoint, checkpoint_of
from siren_fastai.learner import PixelLearner
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.describe import build_model, describe_model, shapes_of
from siren_fastai.models.siren import sine_layers

__all__ = ["load_checkpoint", "save_checkpoint"]

FORMAT, VERSION = "siren_fastai checkpoint", 2
MAX_SAMPLES, MAX_AXES = 1 << 28, 8  # a hostile file must not ask for more
MAX_SETTING, MAX_VALUE = 1e9, 1e30  # of a network's settings and of value ranges: far from where float32 overflows


def save_checkpoint(
    checkpoint: Checkpoint | PixelLearner,
    path: str | os.PathLike,
) -> Path:
    """Write the file and its `.json`, and return `path`; an interrupted write leaves an older file whole.

    Raises: TypeError for a network that cannot be described without code, or whose weights are not float32.
    """
    checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else checkpoint_of(checkpoint)
    path, tensors = Path(path), {}
    state = checkpoint.model.state_dict()
    halves = [name for name, tensor in state.items() if tensor.is_floating_point() and tensor.dtype != torch.float32]
    if halves:
        raise TypeError(f"the weights must be float32, got {state[halves[0]].dtype} in {halves[0]}: `model.float()`")
    header = _header(checkpoint)
    header["optimizer"] = pack(checkpoint.optimizer, tensors)
    tensors |= {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    content = safetensors.torch.save(tensors, {"siren_fastai": json.dumps(header, indent=1)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({**header, "optimizer": None}, indent=1) + "\n", encoding="utf-8")
    return path


def _header(checkpoint: Checkpoint) -> dict:
    model = describe_model(checkpoint.model)
    with torch.device("meta"):
        built = shapes_of(build_model(model))
    if built != shapes_of(checkpoint.model):
        raise TypeError("this network was changed in a way that a checkpoint cannot describe; use `learn.export`")
    image = checkpoint.grid and len(checkpoint.size) == 2 and checkpoint.value_range
    old = "layer" not in model and image and checkpoint.output_range == UNIT
    header = {"format": FORMAT, "version": 1 if old else VERSION, "model": model}
    header |= {"sine_layers": [[layer.omega_0, layer.gain] for layer in sine_layers(checkpoint.model)]}
    header |= {"size": list(checkpoint.size), "grid": checkpoint.grid, "value_range": checkpoint.value_range}
    header |= {} if old else {"output_range": checkpoint.output_range}
    return header | {"epoch": checkpoint.epoch, "seed": checkpoint.seed, "options": checkpoint.options}


def load_checkpoint(
    path: str | os.PathLike,
) -> Checkpoint:
    """Read a checkpoint, on the CPU; the random state is left as it is.

    Raises: ValueError for a file that is truncated, of another kind, inconsistent, or of a network that diverged
    (nothing in it is run, and no more memory is taken than its size justifies); OSError for one that cannot be opened.
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
        raise ValueError(f"{path} is not a checkpoint of this library, or a damaged one: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"it lacks {text}" if isinstance(error, KeyError) else text


def _checkpoint(header: dict, tensors: dict[str, Tensor]) -> Checkpoint:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    if header["version"] not in (1, VERSION):
        raise ValueError(f"it is of version {header['version']!r}, and this library reads versions 1 and {VERSION}")
    size, grid = tuple(header["size"]), header["grid"]
    axes = range(1, MAX_AXES + 1) if header["version"] > 1 else (2,)
    if len(size) not in axes or any(type(n) is not int or n < 1 for n in size) or math.prod(size) > MAX_SAMPLES:
        raise ValueError(f"`size` must be (height, width) of at most {MAX_SAMPLES} pixels, got {size!r:.80}")
    if grid not in GRIDS and (grid is not None or header["version"] == 1):
        raise ValueError(f"`grid` {grid!r:.80} is impossible")
    if any(type(header[name]) is not int or header[name] < 0 for name in ("epoch", "seed")):
        raise ValueError("`epoch` and `seed` must be integers of at least 0")
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
    checkpoint = Checkpoint(
        _model(header["model"], header["sine_layers"], weights),
        size,
        grid,
        _range("value_range", header["value_range"]),
        header["epoch"],
        header["seed"],
        dict(header["options"]),
        unpack(header["optimizer"], tensors),
        _range("output_range", header.get("output_range", UNIT)),
    )
    if grid is not None and checkpoint.channels < 1:
        raise ValueError("its network has no values")
    return checkpoint


def _range(name: str, value) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = (float(x) for x in value)
    if not -MAX_VALUE <= low < high <= MAX_VALUE:
        raise ValueError(f"`{name}` {[low, high]!r:.80} is impossible")
    return low, high


def _model(description: dict, sines: list, weights: dict[str, Tensor]) -> nn.Module:
    """The network of `description` with these weights. Shapes are compared before any memory is taken."""
    if not isinstance(description, dict):
        raise ValueError("`model` must be the description of a network")
    depth = max(description.get("hidden_layers") or 0, len(description.get("dims") or ()) - 2)
    if depth > len(weights):
        raise ValueError(f"`model` asks for {depth} layers, but the file has {len(weights)} tensors")
    with torch.device("meta"):
        empty = build_model(description)
    expected, found = shapes_of(empty), {name: tuple(t.shape) for name, t in weights.items()}
    if expected != found:
        raise ValueError(f"its tensors {found!r:.60}... are not those of `model`, {expected!r:.60}...")
    if any(weights[name].dtype != tensor.dtype for name, tensor in empty.state_dict().items()):
        raise ValueError("its weights must be float32")
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise ValueError("its weights hold NaN or infinite values: its training diverged")
    _check_settings(description)
    with torch.random.fork_rng(devices=[]):
        model = build_model(description)
    model.load_state_dict(weights)
    _check_labels(model)
    for layer, (omega_0, gain) in zip(sine_layers(model), sines, strict=True):
        if not (0 < omega_0 <= MAX_SETTING and 0 < gain <= MAX_SETTING):
            raise ValueError(
                f"omega_0 and gain must be above 0 and at most {MAX_SETTING:g}, got {omega_0!r:.40} and {gain!r:.40}"
            )
        layer.omega_0, layer.gain = float(omega_0), float(gain)
    return model


def _check_settings(description: dict | list) -> None:
    """Reject numbers in a description with which a network cannot compute."""
    for part in description.values() if isinstance(description, dict) else description:
        if isinstance(part, (dict, list)):
            _check_settings(part)
        elif isinstance(part, (int, float)) and not abs(part) <= MAX_SETTING:
            raise ValueError(f"the settings of `model` must be at most {MAX_SETTING:g}, got {part!r:.40}")


def _check_labels(model: nn.Module) -> None:
    if isinstance(model, ClusterNetworks) and not 0 <= model.features.min() <= model.features.max() < len(model):
        raise ValueError(f"its labels must be below {len(model)}, the number of its networks")

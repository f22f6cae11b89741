"""An experiment made ready: picture, network and learner are checked and built before the output folder is touched."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from fastai.torch_core import set_seed
from torch import Tensor

from siren_fastai.checkpoint import Checkpoint, load_checkpoint
from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.networks import build_network
from siren_fastai.cli.options import Chosen
from siren_fastai.cli.pictures import check_memory, fit_to, read_picture
from siren_fastai.cli.presets import OFFICIAL_GRID, OFFICIAL_RANGE
from siren_fastai.cli.recording import RecordFit
from siren_fastai.cli.runs import prepare_folder
from siren_fastai.cli.tensorboard import LogTensorBoard
from siren_fastai.cli.terminal import ProgressLine
from siren_fastai.data import PixelDataLoaders
from siren_fastai.files import replacing
from siren_fastai.images import save_image
from siren_fastai.learner import PixelLearner, siren_learner
from siren_fastai.models.field import count_parameters
from siren_fastai.optimizers import OPTIMIZERS

__all__ = ["Experiment", "prepare"]


@dataclass
class Experiment:
    """A fit that is ready to start: options, picture, learner, folder, and the callbacks that record it."""

    chosen: Chosen
    target: Tensor
    learn: PixelLearner
    folder: Path
    record: RecordFit
    line: ProgressLine
    board: LogTensorBoard | None = None


def prepare(chosen: Chosen, device: torch.device) -> Experiment:
    """Read, check and build all there is to, and only then touch the output folder."""
    set_seed(chosen.seed % 2**32, reproducible=True)
    start = _starting_point(chosen)
    target = fit_to(read_picture(chosen.image_filepath, chosen.color), chosen.sidelength, chosen.resize_mode)
    dls, value_range = _loaders(chosen, target, start, device)
    with as_usage():
        model = start.model if start else build_network(chosen, dls)
    learn = siren_learner(dls, model, metrics=[], lr=chosen.lr, opt_func=OPTIMIZERS[chosen.optimizer])
    line = ProgressLine()
    board = LogTensorBoard(_root(chosen) / "summaries") if chosen.tensorboard else None
    folder = prepare_folder(chosen)
    if board:
        board.folder = folder / "summaries"
    done = start.epoch if chosen.resume else 0
    with as_usage():
        record = RecordFit(chosen, folder, target, value_range, done, line.say)
    learn.add_cbs([cb for cb in (record, line, board) if cb is not None])
    if done:
        _load_optimizer(learn, start)
    save_image(target, folder / "target.png")
    with replacing(folder / "options.json") as temporary:
        temporary.write_text(json.dumps(chosen.values, indent=1) + "\n", encoding="utf-8")
    line.say(_announcement(model, target, dls, folder))
    return Experiment(chosen, target, learn, folder, record, line, board)


def _root(chosen: Chosen) -> Path:
    return Path(chosen.logging_root, chosen.experiment_name)


def _starting_point(chosen: Chosen) -> Checkpoint | None:
    path = _root(chosen) / "checkpoints" / "model_current.safetensors" if chosen.resume else chosen.checkpoint_path
    if path is None:
        return None
    if not Path(path).is_file():
        raise CommandError(f"--checkpoint_path: there is no file {path}")
    with as_usage("" if chosen.resume else "--checkpoint_path: "):
        start = load_checkpoint(path)
    if not chosen.resume:
        _check_network_options(chosen, start.model.config)
    return start


def _check_network_options(chosen: Chosen, config: dict) -> None:
    """Options of the network beside --checkpoint_path may repeat what it is, not change it."""
    stored = {"model_type": "kind", **{n: n for n in ("hidden_features", "hidden_layers", "omega_0", "scheme")}}
    for name, key in stored.items():
        if chosen.given(name) and getattr(chosen, name) != config.get(key):
            raise CommandError(f"--{name} cannot change the network of --checkpoint_path; leave it out")


def _loaders(chosen: Chosen, target: Tensor, start: Checkpoint | None, device: torch.device):
    """The loaders, and the range of their values: the official one, or that of the network to start from."""
    official = chosen.preset == "official"
    grid, value_range = (OFFICIAL_GRID, OFFICIAL_RANGE) if official else ("centers", (0.0, 1.0))
    if start:
        grid, value_range = start.grid, start.value_range
        if target.shape[-1] != start.model.config["n_out"]:
            raise CommandError(
                f"the picture has {target.shape[-1]} channels, the checkpoint {start.model.config['n_out']}: "
                "give --color gray or --color rgb"
            )
    low, high = value_range
    n_pixels = target.shape[0] * target.shape[1]
    bs = n_pixels if chosen.bs is None else chosen.bs
    check_memory(n_pixels, target.shape[-1], bs, chosen.hidden_features, chosen.hidden_layers, device)
    order = "raster" if bs >= n_pixels else "random"
    values = target * (high - low) + low
    return PixelDataLoaders.from_array(values, bs=bs, coords=grid, order=order, device=device), value_range


def _load_optimizer(learn: PixelLearner, start: Checkpoint) -> None:
    learn.model.to(learn.dls.device)
    learn.create_opt()
    try:
        learn.opt.load_state_dict(_on(start.optimizer, learn.dls.device))
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise CommandError(f"the checkpoint's optimiser state does not fit this network ({error!r:.200})") from None


def _on(tree, device: torch.device):
    """The optimiser's state with its tensors on `device`, but step counters where they were."""
    if isinstance(tree, Tensor):
        return tree.to(device) if tree.dim() else tree
    if isinstance(tree, dict):
        return {key: _on(value, device) for key, value in tree.items()}
    return type(tree)(_on(item, device) for item in tree) if isinstance(tree, (list, tuple)) else tree


def _announcement(model, target: Tensor, dls: PixelDataLoaders, folder: Path) -> str:
    height, width, channels = target.shape
    color = {1: "gray", 3: "RGB"}.get(channels, f"{channels} channels")
    return (
        f"Training on device {dls.device}: {model.kind}, {count_parameters(model):,} parameters; "
        f"{height}x{width} pixels, {color}, {len(dls.train)} steps an epoch; output in {folder}"
    )

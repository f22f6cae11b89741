"""Where a fit starts: from a checkpoint, given or of its own folder, or from nothing; and the data it starts on."""

from pathlib import Path

import torch
from torch import Tensor

from siren_fastai.data import PixelDataLoaders
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.fits.image import check_memory
from siren_fastai.fits.presets import OFFICIAL_GRID, OFFICIAL_RANGE, stored_checkpoint
from siren_fastai.fits.settings import FitSettings
from siren_fastai.fits.state import Checkpoint

__all__ = ["check_network_settings", "loaders_for", "starting_point"]


def starting_point(settings: FitSettings) -> Checkpoint | None:
    """Return the checkpoint that a fit starts from, or None for a new network.

    Raises: FileNotFoundError if there is none; ValueError if it is damaged or not of an image.
    """
    if settings.resume:
        return stored_checkpoint(settings.folder)
    start = settings.start
    if start is None:
        return None
    if not isinstance(start, Checkpoint):
        if not Path(start).is_file():
            raise FileNotFoundError(f"`start`: there is no file {start}")
        try:
            start = load_checkpoint(start)
        except ValueError as error:
            raise ValueError(f"`start`: {error}") from None
    if len(start.size) != 2 or start.grid is None or start.value_range is None:
        raise ValueError("`start` must be a network of an image on a regular grid with a stated value range")
    return start


def check_network_settings(settings: FitSettings, start: Checkpoint) -> None:
    """Raise ValueError for a setting of the network, given next to `start`, that is not what `start` has."""
    config = getattr(start.model, "config", {})
    dims = config.get("dims") or ()
    uniform = len(set(dims[1:-1])) == 1
    sizes = {"hidden_features": dims[1], "hidden_layers": len(dims) - 3} if uniform else {}
    stored = {**sizes, **config, "kind": config.get("kind")}
    for name in ("kind", "hidden_features", "hidden_layers", "omega_0", "scheme"):
        value = getattr(settings, name)
        if value is not None and value != stored.get(name):
            raise ValueError(f"`{name}` cannot change the network of `start`; leave it out")


def loaders_for(
    settings: FitSettings, target: Tensor, start: Checkpoint | None, device: torch.device
) -> tuple[PixelDataLoaders, tuple[float, float]]:
    """Return the loaders, and the range of their values: the official one, or that of the network to start from.

    Raises: ValueError for a number of channels that the network does not have, or more than fits into memory.
    """
    official = settings.preset == "official"
    grid, value_range = (OFFICIAL_GRID, OFFICIAL_RANGE) if official else ("centers", (0.0, 1.0))
    channels = target.shape[-1]
    if start:
        grid, value_range = start.grid, start.value_range
        if channels != start.channels:
            raise ValueError(
                f'the image has {channels} channels, the checkpoint {start.channels}: give `color` "gray" or "rgb"'
            )
    low, high = value_range
    n_pixels = target.shape[0] * target.shape[1]
    bs = n_pixels if settings.bs == "all" else settings.bs
    check_memory(n_pixels, channels, bs, settings.hidden_features, settings.hidden_layers, device)
    order = "raster" if bs >= n_pixels else "random"
    values = target * (high - low) + low
    options = dict(bs=bs, coords=grid, order=order, value_range=value_range, device=device)
    return PixelDataLoaders.from_array(values, **options), value_range

"""Generated images kept in a file, which is checked before it is trusted."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from siren_fastai.files import replacing
from siren_fastai.locks import lock_folder
from siren_fastai.names import CACHE_VARIABLE

__all__ = ["cache_folder", "cached_images"]

MARK = "siren_fastai generated images"  # in the header of every cache file
FILE = "images.safetensors"


def cache_folder(
    folder: str | os.PathLike | None = None,  # None is that of the variable SIREN_FASTAI_CACHE, or the user's
) -> Path:
    """The folder for cache files: ~/.cache/siren_fastai, or siren_fastai in $XDG_CACHE_HOME, unless one is given."""
    if folder is None:
        folder = os.environ.get(CACHE_VARIABLE) or Path(
            os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "siren_fastai"
        )
    return Path(folder).expanduser()


def cached_images(
    make: Callable[..., tuple[Tensor, Tensor]],  # (images, groups) from keyword arguments, such as `tile_images`
    version: int,  # of what `make` draws; another one makes other files
    folder: str | os.PathLike | None = None,  # as for `cache_folder`
    **parameters,  # for `make`, of types that JSON knows
) -> tuple[Tensor, Tensor]:  # (n, c, h, w) uint8 and (n,) int64
    """`make(**parameters)` from its cache file; the first time it is made, and written.

    The file is a safetensors file in a folder of its own, with parameters, version and a SHA-256 of the content. One of
    ours that is damaged is written again, with a warning. Of several processes one makes the images, the others
    wait for it. Where the cache can't be written, there is a warning, and the images are generated each time.
    Raises: ValueError for a file of that name which isn't ours; it stays as it is.
    """
    about = json.dumps({"name": make.__name__, "version": version, "parameters": parameters}, sort_keys=True)
    key = hashlib.sha256(about.encode()).hexdigest()[:16]
    home = cache_folder(folder) / f"{make.__name__}-{key}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(home, wait=True)
    except OSError as error:
        warnings.warn(f"the cache {home} can't be written ({error}): the images are generated each time", stacklevel=2)
        return make(**parameters)
    with lock:
        found = _read(home / FILE, about) if (home / FILE).exists() else None
        if found is None:
            found = make(**parameters)
            _write(home / FILE, about, *found)
    return found


def _write(path: Path, about: str, images: Tensor, groups: Tensor) -> None:
    header = {"mark": MARK, "about": about, "sha256": _digest(images, groups)}
    try:
        with replacing(path) as temporary:
            save_file({"images": images.contiguous(), "groups": groups.contiguous()}, temporary, header)
    except (SafetensorError, OSError) as error:
        warnings.warn(f"the cache file {path} can't be written: {error}", stacklevel=3)


def _read(path: Path, about: str) -> tuple[Tensor, Tensor] | None:
    """The content of a cache file, or None with a warning if it is one of ours, but not what it should be."""
    try:
        with safe_open(path, "pt") as file:
            header, reason = file.metadata() or {}, "its content isn't what was written"
            if header.get("mark") == MARK and header.get("about") == about and set(file.keys()) == {"images", "groups"}:
                images, groups = file.get_tensor("images"), file.get_tensor("groups")
                if header.get("sha256") == _digest(images, groups):
                    return images, groups
    except (SafetensorError, OSError) as error:
        reason = str(error)
    if not _is_ours(path):
        raise ValueError(f"{path} isn't a cache file of siren_fastai: move it away, or set {CACHE_VARIABLE}")
    warnings.warn(f"the cache file {path} is damaged ({reason}): the images are generated again", stacklevel=4)
    return None


def _is_ours(path: Path) -> bool:
    """Whether a file that may be damaged begins as ours do."""
    with open(path, "rb") as file:
        return MARK.encode() in file.read(4096)


def _digest(images: Tensor, groups: Tensor) -> str:
    """SHA-256 of shapes, types and values."""
    digest = hashlib.sha256()
    for tensor in (images, groups):
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()

"""The networks of a stack as files, each with its history."""

import os
from dataclasses import replace
from pathlib import Path

from fastai.learner import Learner

from siren_fastai.fits.checkpoint import save_checkpoint
from siren_fastai.fits.state import checkpoint_of
from siren_fastai.locks import lock_folder

__all__ = ["save_fields"]


def save_fields(
    learn: Learner,  # a `StackLearner`
    folder: str | os.PathLike,  # made if it isn't there
    overwrite: bool = False,  # replace files of these names
) -> list[Path]:  # of the networks
    """Write each network as `<name>.safetensors`, which `load_checkpoint` opens, and its history as `<name>.csv`.

    The name is that of the signal. A network that wasn't trained has no history.
    Raises, before anything is written: ValueError for names that can't be those of files, or of which two are equal;
    FileExistsError for a file that is there already, without `overwrite`.
    """
    folder = Path(folder)
    _check_names(learn.names, learn.model.n_models)
    _check_free(folder, learn.names, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        return [_save(learn, index, folder / name) for index, name in enumerate(learn.names)]


def _save(learn: Learner, index: int, path: Path) -> Path:
    epochs = len(learn.stack_history.to_frame(index))
    if epochs:
        learn.stack_history.to_csv(f"{path}.csv", network=index)
    return save_checkpoint(replace(checkpoint_of(learn.single(index)), epoch=epochs), f"{path}.safetensors")


def _check_names(names: list[str], n: int) -> None:
    for name in names:
        if not isinstance(name, str) or not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"`names` become names of files, and {name!r} can't be one: give `dls.names` others")
    if not len(names) == len(set(names)) == n:
        raise ValueError(f"`dls.names` must be {n} different names, one for each network, got {names}")


def _check_free(folder: Path, names: list[str], overwrite: bool) -> None:
    files = [folder / f"{name}{suffix}" for name in names for suffix in (".safetensors", ".json", ".csv")]
    taken = [file.name for file in files if file.exists()]
    if taken and not overwrite:
        shown = ", ".join(taken[:3]) + (", ..." if len(taken) > 3 else "")
        raise FileExistsError(f"{folder} holds {shown} already: choose another folder, or `overwrite=True`")

"""The two settings of `fit`, and the options of an experiment that is continued."""

import inspect
from pathlib import Path

from siren_fastai.cli.errors import CommandError, as_usage
from siren_fastai.cli.options import Chosen

__all__ = ["FREE", "OFFICIAL", "OFFICIAL_GRID", "OFFICIAL_RANGE", "OWN", "fast_defaults", "resolve"]

# the note's run and the official code, arXiv:2006.09661; `bs` of None is all pixels
OFFICIAL = {
    **dict(resize_mode="stretch", color="gray", model_type="sine", hidden_features=256, hidden_layers=3),
    **dict(lr=1e-4, num_epochs=10_000, optimizer="adam", schedule="constant", bs=None),
}
OFFICIAL_GRID, OFFICIAL_RANGE = "corners", (-1.0, 1.0)
EPOCHS = 30  # of the fast preset, where the library names none
OWN = ("resume", "y", "n", "config_filepath", "print_config", "experiment_name", "logging_root")  # of one command
FREE = (  # what may differ when an experiment is continued
    *(*OWN, "num_epochs", "epochs_til_ckpt", "steps_til_summary", "evaluate", "show_graphics", "device"),
    *("tensorboard", "batch_size"),
)


def fast_defaults() -> dict:
    """The library's defaults, read from its signatures."""
    from siren_fastai.data import PixelDataLoaders
    from siren_fastai.learner import HIDDEN, PixelLearner, siren_learner

    learner, loaders = (inspect.signature(f).parameters for f in (siren_learner, PixelDataLoaders.from_array))
    epochs = inspect.signature(PixelLearner.fit_fast).parameters["n_epoch"].default
    return {
        **dict(resize_mode="keep", color="auto", model_type="siren", schedule="one_cycle"),
        **dict(hidden_features=HIDDEN[0], hidden_layers=len(HIDDEN) - 1, bs=loaders["bs"].default),
        **dict(lr=learner["lr"].default, optimizer=learner["opt_func"].default.__name__),
        **dict(num_epochs=epochs if isinstance(epochs, int) else EPOCHS),
    }


def resolve(chosen: Chosen) -> Chosen:
    """Set what the user left open: from the preset, or with --resume from the experiment's checkpoint."""
    if chosen.y and chosen.n:
        raise CommandError("--y erases the output folder and --n keeps it: give one of them")
    if chosen.resume:
        return _resumed(chosen)
    if chosen.preset == "official":
        chosen.fill(OFFICIAL, "preset official")
    else:
        chosen.fill(fast_defaults(), "preset fast")
    return chosen


def _resumed(chosen: Chosen) -> Chosen:
    from siren_fastai.checkpoint import load_checkpoint

    if chosen.y or chosen.n or chosen.checkpoint_path:
        raise CommandError("--resume goes on in the experiment's own folder: leave --y, --n and --checkpoint_path out")
    path = Path(chosen.logging_root, chosen.experiment_name, "checkpoints", "model_current.safetensors")
    if not path.is_file():
        raise CommandError(f"there is nothing to resume: no {path}; check --logging_root and --experiment_name")
    with as_usage():
        stored = load_checkpoint(path).options
    missing = [name for name in chosen.values if name not in stored and name not in OWN]
    if missing:
        raise CommandError(f"{path} was not written by `siren-fastai fit`: it lacks the options {missing}")
    for name, value in chosen.values.items():
        if name not in FREE and chosen.given(name) and value != stored[name]:
            raise CommandError(
                f"--{name} was {stored[name]!r} in this experiment, got {value!r}; leave it out, or start another"
            )
    changed = chosen.given("num_epochs") and chosen.num_epochs != stored["num_epochs"]
    if changed and stored["schedule"] != "constant":
        raise CommandError(
            f"--num_epochs is {stored['num_epochs']} in this experiment, and its schedule {stored['schedule']} depends "
            "on it; start another with --checkpoint_path for more"
        )
    chosen.fill({name: stored[name] for name in chosen.values if name not in OWN}, f"checkpoint {path}")
    return chosen

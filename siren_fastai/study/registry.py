"""The experiments that a study can name: a module each in `study/experiments/`, and those that a caller brings."""

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module

from siren_fastai.study import experiments
from siren_fastai.study.experiment import Experiment, Plain, Settings

__all__ = ["Experiments", "experiment_named", "experiment_names"]

Experiments = Mapping[str, Experiment | Callable]


def experiment_named(
    name: str,  # such as "fit"
    extra: Experiments | None = None,  # the caller's own: experiments, or functions of (settings, folder)
) -> Experiment:
    """Return the experiment of that name, the caller's before the library's. One that is a function takes any settings.

    Raises: ValueError for a name that there isn't; TypeError for an extra one that cannot be called.
    """
    extra = extra or {}
    if name in extra:
        return _experiment(name, extra[name])
    if name not in experiment_names():
        known = ", ".join(sorted({*extra, *experiment_names()})) or "none"
        raise ValueError(f"there is no experiment {name!r:.80}; there are: {known}")
    return import_module(f"{experiments.__name__}.{name}").EXPERIMENT


def experiment_names() -> list[str]:
    """The names of the library's experiments. None of them is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(experiments.__path__))


class _AnySettings(Experiment):
    """An experiment that is only a function: what it makes of its settings, it knows itself."""

    def complete(self, settings: Settings) -> dict[str, Plain]:
        return dict(settings)


def _experiment(name: str, given: Experiment | Callable) -> Experiment:
    if isinstance(given, Experiment):
        return given
    if not callable(given):
        raise TypeError(f"the experiment {name!r} must be an Experiment or a function, got {given!r:.80}")
    return _AnySettings(name, given)

"""The experiment "fit": one network fitted to one image. Its settings are those of `study.fitting.settings`."""

from collections.abc import Mapping
from pathlib import Path

from siren_fastai.study.experiment import Experiment
from siren_fastai.study.fitting.settings import DEFAULTS, check

__all__ = ["EXPERIMENT"]


def _run(settings: Mapping, folder: Path) -> dict:
    from siren_fastai.study.fitting.run import run_fit  # fastai, which listing studies does without

    return run_fit(settings, folder)


EXPERIMENT = Experiment("fit", _run, DEFAULTS, check=check)

"""The experiment "autoencode": one autoencoder. Its settings are those of `study.autoencoding.settings`."""

from collections.abc import Mapping
from pathlib import Path

from siren_fastai.study.autoencoding.settings import DEFAULTS, check
from siren_fastai.study.experiment import Experiment

__all__ = ["EXPERIMENT"]


def _run(settings: Mapping, folder: Path) -> dict:
    from siren_fastai.study.autoencoding.run import run_autoencoder  # fastai, which listing studies does without

    return run_autoencoder(settings, folder)


EXPERIMENT = Experiment("autoencode", _run, DEFAULTS, check=check)

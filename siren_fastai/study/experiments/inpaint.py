"""The experiment "inpaint": one network that fills holes. Its settings are those of `study.inpainting.settings`."""

from collections.abc import Mapping
from pathlib import Path

from siren_fastai.study.experiment import Experiment
from siren_fastai.study.inpainting.settings import DEFAULTS, check

__all__ = ["EXPERIMENT"]


def _run(settings: Mapping, folder: Path) -> dict:
    from siren_fastai.study.inpainting.run import run_inpainting  # fastai, which listing studies does without

    return run_inpainting(settings, folder)


EXPERIMENT = Experiment("inpaint", _run, DEFAULTS, check=check)

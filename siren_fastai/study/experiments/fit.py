"""The experiment "fit": one network fitted to one image. Its settings are those of `study.fitting.settings`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from siren_fastai.study.experiment import Experiment, Together
from siren_fastai.study.fitting.settings import DEFAULTS, STACK_VARYING, check, is_shared, on_gpu, stack_size, stacks

__all__ = ["EXPERIMENT"]


def _run(settings: Mapping, folder: Path) -> dict:
    from siren_fastai.study.fitting.run import run_fit  # fastai, which listing studies does without

    return run_fit(settings, folder)


def _run_together(settings: Sequence[Mapping], folders: Sequence[Path]) -> list[dict]:
    from siren_fastai.study.fitting.together import run_fits

    return run_fits(settings, folders)


TOGETHER = Together(_run_together, STACK_VARYING, stacks, stack_size, on_gpu, is_shared)
EXPERIMENT = Experiment("fit", _run, DEFAULTS, check=check, together=TOGETHER)

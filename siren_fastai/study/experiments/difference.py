"""The experiment "difference": two fits of one image, and where their errors differ.

Its settings are those of "fit", and `other`: the settings that the second fit has in place of the first one's.
"""

from collections.abc import Mapping
from pathlib import Path

from siren_fastai.study.experiment import Experiment
from siren_fastai.study.fitting.settings import DEFAULTS, check

__all__ = ["EXPERIMENT"]

SHARED = ("image", "size", "color", "pictures", "device")  # of both fits


def _check(settings: Mapping) -> None:
    own = {name: value for name, value in settings.items() if name != "other"}
    other = settings["other"]
    if not isinstance(other, Mapping):
        raise ValueError(f"`other` must be settings of the second fit, such as {{scheme: siren}}, got {other!r}")
    wrong = [name for name in other if name not in DEFAULTS or name in SHARED]
    if wrong:
        raise ValueError(f"`other` cannot have {', '.join(wrong)}: both fits are of one image, with settings of a fit")
    check(own)
    try:
        check({**own, **other})
    except ValueError as error:
        raise ValueError(f"`other`: {error}") from None


def _run(settings: Mapping, folder: Path) -> dict:
    from siren_fastai.study.fitting.difference import run_difference  # fastai, which listing studies does without

    return run_difference(settings, folder)


EXPERIMENT = Experiment("difference", _run, DEFAULTS, required=("other",), check=_check)

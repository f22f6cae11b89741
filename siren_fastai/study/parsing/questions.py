"""The claims and figures of a study file, checked before anything runs: afterwards they would be found out too late."""

from collections.abc import Sequence

from siren_fastai.study.drawing.specs import read_figure
from siren_fastai.study.experiment import Experiment
from siren_fastai.study.judging.claims import read_claim
from siren_fastai.study.matrix import Combination
from siren_fastai.study.parsing.document import Document

__all__ = ["check_claims", "check_figures"]


def check_claims(
    document: Document,  # of a study
    combinations: Sequence[Combination],  # its experiments
    experiment: Experiment,
) -> None:
    """Raise a ValueError, with the line, for a claim that makes no sense or names what is no axis and no setting."""
    known = {*combinations[0].axes, *combinations[0].settings, *experiment.defaults}
    for index, raw in enumerate(document.values.get("claims", [])):
        path = ("claims", str(index))
        try:
            claim = read_claim(raw)
        except ValueError as error:
            raise document.error(path, str(error)) from None
        columns = [*claim.first, *claim.than, *(claim.pair or ()), *([claim.retuned] if claim.retuned else [])]
        unknown = [name for name in columns if name not in known]
        if unknown:
            axes = ", ".join(combinations[0].axes)
            problem = f"{unknown[0]!r} is neither an axis nor a setting of the experiment; the axes are {axes}"
            raise document.error(path, problem)


def check_figures(
    document: Document,  # of a study
) -> None:
    """Raise a ValueError, with the line, for a figure that cannot be drawn."""
    for index, spec in enumerate(document.values.get("figures", [])):
        try:
            read_figure(spec)
        except ValueError as error:
            raise document.error(("figures", str(index)), str(error)) from None

"""The experiment matrix: text in, experiments out.

A study file is YAML. `matrix` maps each axis to the list of its values, and every combination of them is an
experiment; all other keys are its settings, in which `${axis}` stands for the axis's value.

    matrix:
      patch: [4, 8]
      stride: [2, 4, 8]
      $filter: ${stride} <= ${patch}
    name: mnist/${matrix_slug}
    shape: (1, 28, 28)
    code_size: 28 * 28 // 10

Combinations come in the order of the keys, the last axis changing fastest, and are numbered before the filter.
`${matrix_slug}` is the combination's name, `${matrix_id}` its number. `$extends` names a file whose values this one's
are merged over. docs/matrix.md has the whole format. Nothing in a file is executed, and what a file may ask for is
bounded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from siren_fastai.study.experiment import Experiment, Plain
from siren_fastai.study.parsing.axes import STUDY_KEYS, read_axes, read_filter
from siren_fastai.study.parsing.document import Document, read_document
from siren_fastai.study.parsing.extends import extended
from siren_fastai.study.parsing.rules import Rules, read_rules
from siren_fastai.study.parsing.slugs import numbers, slugs
from siren_fastai.study.parsing.substitution import substituted

__all__ = ["Combination", "combine", "read_matrix", "rules_of"]

MAX_WORK = 10_000_000  # characters of settings, over all combinations


@dataclass(frozen=True)
class Combination:
    """One experiment of a matrix."""

    number: int  # from 1, before the filter
    slug: str  # its folder's name
    axes: dict[str, Plain]
    settings: dict[str, Plain]  # with nothing left to replace
    refused: str | None = None  # why the experiment cannot be run, if it cannot


def read_matrix(
    text: str,
    name: str = "the matrix",  # of the file, for messages
    base: Callable[[str], str] | None = None,  # the text of what `$extends` names
    experiment: Experiment | None = None,  # whose settings these are; None leaves them unchecked
) -> list[Combination]:
    """Return the combinations of a study file that its filter leaves, in order.

    With `experiment`, an axis that is one of its settings is passed to it unasked, and a combination that its check
    refuses says why.
    Raises: ValueError that names the file, the line and the key.
    """
    return combine(extended(read_document(text, name), base), experiment)


def combine(
    document: Document,  # of a study, with its bases merged
    experiment: Experiment | None = None,  # as for `read_matrix`
) -> list[Combination]:
    """Return the combinations of a document. Raises: ValueError that names the file, the line and the key."""
    axes = read_axes(document)
    keep = read_filter(document, axes)
    rules = rules_of(document, experiment)
    _check_work(rules.document, axes)
    rows = [dict(zip(axes, row, strict=True)) for row in product(*axes.values())]
    found = []
    for number, slug, row in zip(numbers(len(rows)), slugs(rows), rows, strict=True):
        if keep(row):
            whole = rules.at({**row, "matrix_slug": slug, "matrix_id": number})
            found.append(Combination(int(number), slug, substituted(row, {}), whole, _refusal(experiment, whole)))
    if not found:
        raise document.error(("$filter",), f"the filter leaves none of the {len(rows)} combinations")
    return found


def rules_of(
    document: Document,  # of a study, with its bases merged
    experiment: Experiment | None = None,  # as for `read_matrix`
) -> Rules:
    """Return how its settings follow from the axes. Raises: ValueError that names the file, the line and the key."""
    settings = document.without(*STUDY_KEYS, "matrix", "$filter")
    return read_rules(settings, read_axes(document), experiment)


def _check_work(settings: Document, axes: Mapping[str, list]) -> None:
    text, combinations = str(settings.values), 1
    for values in axes.values():
        combinations *= len(values)
    longest = max(len(str(value)) for values in axes.values() for value in values)
    if combinations * (len(text) + text.count("${") * longest) > MAX_WORK:
        problem = f"the settings of all {combinations:,} combinations have more than {MAX_WORK:,} characters"
        raise settings.error((), f"{problem}; split the study")


def _refusal(experiment: Experiment | None, settings: Mapping[str, Plain]) -> str | None:
    try:
        if experiment:
            experiment.complete(settings)
    except (ValueError, TypeError) as error:
        return str(error)
    return None

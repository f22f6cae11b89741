"""The settings of a study file before its axes have values: what they are for any combination."""

from collections.abc import Mapping
from dataclasses import dataclass

from siren_fastai.study.experiment import Experiment, Plain
from siren_fastai.study.parsing.axes import SPECIAL
from siren_fastai.study.parsing.document import Document
from siren_fastai.study.parsing.substitution import check_references, substituted

__all__ = ["Rules", "read_rules"]


@dataclass(frozen=True)
class Rules:
    """How settings follow from the values of the axes."""

    document: Document  # the settings
    passed: tuple[str, ...]  # axes that are settings of their own
    references: Mapping[str, set[str]]  # of each setting: the names in its ${}

    @property
    def derived(self) -> list[str]:
        """The settings with a ${name}: they may differ between experiments."""
        return [key for key, names in self.references.items() if names]

    @property
    def naming(self) -> list[str]:
        """The settings with ${matrix_slug} or ${matrix_id}: they follow from the whole matrix."""
        return [key for key, names in self.references.items() if names & set(SPECIAL)]

    def at(
        self,
        names: Mapping[str, Plain],  # the values of the axes, and those of ${matrix_slug} and ${matrix_id}
    ) -> dict[str, Plain]:
        """Return the settings, without those for which `names` lacks a name.

        Raises: ValueError, with the line, for arithmetic without a result.
        """
        found = {}
        for key, value in self.document.values.items():
            if not self.references[key] <= set(names):
                continue
            try:
                found[key] = substituted(value, names)
            except ValueError as error:
                where = f" (in combination {names['matrix_id']})" if "matrix_id" in names else ""
                raise self.document.error((key,), f"{error}{where}") from None
        return found | substituted({name: names[name] for name in self.passed}, {})


def read_rules(
    settings: Document,
    axes: Mapping[str, list],
    experiment: Experiment | None,  # whose settings these are; None leaves them unchecked
) -> Rules:
    """Return the rules. Raises: ValueError for a setting that is unknown or missing, and an axis that isn't used."""
    names = (*axes, *SPECIAL)
    references = {key: check_references(_part(settings, key), names) for key in settings.values}
    used = set().union(*references.values())
    if experiment is None:
        return Rules(settings, (), references)
    known = {*experiment.defaults, *experiment.required}  # an experiment that declares none takes any
    for name in settings.values:
        if known and name not in known:
            problem = f"the experiment {experiment.name!r} has no such setting; it has {', '.join(sorted(known))}"
            raise settings.error((name,), problem)
    passed = [name for name in axes if name not in settings.values and (not known or name in known)]
    for name in axes:
        if name not in used and name not in passed:
            raise settings.error(("matrix", name), f"this axis changes nothing: no setting has ${{{name}}}")
    missing = [name for name in experiment.required if name not in settings.values and name not in passed]
    if missing:
        raise settings.error((), f"the experiment {experiment.name!r} needs {', '.join(missing)}")
    return Rules(settings, tuple(passed), references)


def _part(settings: Document, key: str) -> Document:
    return Document(settings.name, {key: settings.values[key]}, settings.places)

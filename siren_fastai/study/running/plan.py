"""What a study has to do in a folder: only read, so that it can be shown before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from siren_fastai.study.experiment import Experiment
from siren_fastai.study.running.folder import read_record, state_of
from siren_fastai.study.running.home import check_alike, check_home, difference

__all__ = ["Item", "Plan", "plan_study"]


@dataclass(frozen=True)
class Item:
    """One experiment of a study: its folder, and the record of what is asked for, as `settings.json` keeps it."""

    path: Path
    record: Mapping

    @property
    def slug(self) -> str:
        """Its name."""
        return self.path.name


@dataclass
class Plan:
    """The experiments of a study by what there is to do."""

    experiment: Experiment
    todo: list[Item] = field(default_factory=list)
    finished: list[Item] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # slug -> reason
    failed_before: list[str] = field(default_factory=list)  # slugs of those to do that have an error.txt
    replaced: list[str] = field(default_factory=list)  # slugs of those to do whose result has other settings
    fills_a_device: bool = False  # only what runs together and then fills a GPU: more processes would only share it


def plan_study(
    study,  # a Study
    folder: Path,  # of its results; it need not exist
    experiment: Experiment,  # that it names
    only: Sequence[str] | None = None,  # slugs, or patterns of them such as "*seed-0*"; None is all
    overwrite: bool = False,  # whether results of other settings are to be replaced
) -> Plan:
    """Sort the study's experiments. A result that is there for the same settings is finished.

    Raises: ValueError for settings that the experiment does not have, a device that isn't available, or a pattern that
    fits no slug; FileExistsError for results of other settings unless they are replaced (`overwrite`), those of another
    study, and folders that no study wrote.
    """
    check_home(folder, study.name, study.combinations[0].axes)
    plan = Plan(experiment)
    for combination in _chosen(study.combinations, only):
        settings, reason = _completed(experiment, combination)
        if reason is not None:
            plan.refused[combination.slug] = reason
            continue
        asked = {"number": combination.number, "slug": combination.slug, "axes": dict(combination.axes)}
        record = {"study": study.name, "experiment": experiment.name, **asked, "settings": settings}
        _sort(plan, Item(Path(folder, combination.slug), record))
    if plan.replaced and not overwrite:
        raise FileExistsError(_conflict(next(item for item in plan.todo if item.slug == plan.replaced[0]), plan))
    if study.rules is not None:
        check_alike(folder, study.rules, experiment, [*(item.slug for item in plan.finished), *plan.replaced])
    plan.fills_a_device = _fills_a_device(plan)
    return plan


def _fills_a_device(plan: Plan) -> bool:
    together, settings = plan.experiment.together, [item.record["settings"] for item in plan.todo]
    if together is None:
        return False
    fills = [together.fills(each) for each in settings]  # of all: it says which device isn't there
    return all(fills) and all(map(together.suits, settings))


def _sort(plan: Plan, item: Item) -> None:
    state = state_of(item.path, item.record, plan.experiment.defaults)
    (plan.finished if state == "result" else plan.todo).append(item)
    if state == "error":
        plan.failed_before.append(item.slug)
    if state == "other settings":
        plan.replaced.append(item.slug)


def _chosen(combinations: Sequence, only: Sequence[str] | None) -> list:
    """Those whose slug is in `only`, or fits one of its patterns."""
    if isinstance(only, str):
        raise ValueError(f"`only` must be a list of slugs or patterns, got the text {only!r:.80}")
    for pattern in only or ():
        if not any(fnmatchcase(each.slug, pattern) for each in combinations):
            some = ", ".join(each.slug for each in combinations[:3])
            raise ValueError(f"`only` {pattern!r:.80} fits none of the {len(combinations)} experiments: {some}, ...")
    return [each for each in combinations if only is None or any(fnmatchcase(each.slug, item) for item in only)]


def _completed(experiment: Experiment, combination) -> tuple[dict, str | None]:
    """The settings with the defaults, and the reason if they are refused."""
    settings = replace(experiment, check=None).complete(combination.settings)
    if combination.refused is not None:
        return settings, combination.refused
    try:
        experiment.complete(combination.settings)
    except ValueError as error:
        return settings, str(error)
    return settings, None


def _conflict(item: Item, plan: Plan) -> str:
    """What differs, in the first of the experiments whose result has other settings."""
    what = difference(read_record(item.path), item.record, plan.experiment.defaults)
    return (
        f"{item.path} holds a result {what}: choose another output folder, or give `overwrite` to replace "
        f"{len(plan.replaced)} results"
    )

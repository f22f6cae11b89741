"""Running a study: its experiments in processes or on a cluster, each into a folder of its own."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from siren_fastai.files import write_json
from siren_fastai.jobs.call import Call, Failure
from siren_fastai.jobs.run import check_jobs, run_jobs
from siren_fastai.progress import Progress
from siren_fastai.study.experiment import Experiment
from siren_fastai.study.registry import Experiments, experiment_named
from siren_fastai.study.running.folder import SETTINGS, STUDY, Claim, claim_folder, read_record, state_of
from siren_fastai.study.running.groups import grouped
from siren_fastai.study.running.perform import perform_group
from siren_fastai.study.running.plan import Item, Plan, plan_study

__all__ = ["DESCRIPTION", "STUDY", "Outcome", "run_study"]

DESCRIPTION = ("name", "title", "source", "protocol", "full", "claims", "figures", "experiment")


@dataclass
class Outcome:
    """What came of a run: the slugs of its experiments."""

    folder: Path
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # slug -> what was raised; error.txt has the traceback
    finished_before: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # slug -> the reason
    elsewhere: list[str] = field(default_factory=list)  # that another run is at, or has finished meanwhile
    apart: dict[str, str] = field(default_factory=dict)  # slug -> why it could not be run together with others


def run_study(
    study,  # a Study, as `load_study` returns it
    folder: str | Path,  # for its results: a folder for each experiment, named by its slug
    jobs: int | None = None,  # processes, each with one thread; None is one for each core, or for stacks on a GPU one
    only: Sequence[str] | None = None,  # slugs, or patterns of them such as "*seed-0*"
    scheduler: str | None = None,  # of a Dask cluster that runs the experiments instead, such as "tcp://host:8786"
    experiments: Experiments | None = None,  # your own, by name: functions of (settings, folder) that return a dict
    progress: bool | Progress = True,  # one line for the whole study, with the time left
    overwrite: bool = False,  # replace results that were made with other settings
    stack: int | None = None,  # most experiments in one job, see below; None: as many as is quickest, 1: one by one
) -> Outcome:
    """Run the experiments of a study that have no result in `folder` yet.

    An experiment's folder is written whole or not at all. One that fails leaves its traceback there as error.txt, the
    others go on, and the next run tries it again. Several runs can work in one folder, each at experiments of its own.
    After an interruption, or a kill, the next run goes on; what was running leaves nothing.
    On a cluster, the workers send files back: they need this library, but no folder that this machine has.

    Where the experiment can, those that differ only in random seed, rate or scheme, say, run as one job: on a GPU many
    at once, on a CPU small ones. Their rows are those of single runs up to rounding. Seconds are then each one's share,
    so a study whose claims or figures are about seconds runs one by one unless `stack` says otherwise; a cluster of
    CPUs does too, where it is the workers that share the experiments.

    Raises: before anything runs, ValueError and FileExistsError as `plan_study`, ValueError, ImportError and OSError as
    `run_jobs`; later OSError if results cannot be written. KeyboardInterrupt ends what is running.
    """
    check_jobs(jobs)
    if stack is not None and (isinstance(stack, bool) or not isinstance(stack, int) or stack < 1):
        raise ValueError(f"`stack` must be an integer of 1 or more, got {stack!r}")
    plan = plan_study(study, Path(folder), experiment_named(study.experiment, experiments), only, overwrite)
    before = [item.slug for item in plan.finished]
    outcome = Outcome(Path(folder), finished_before=before, refused=plan.refused)
    gpu = plan.fills_a_device
    jobs = 1 if gpu and jobs is None else check_jobs(jobs)
    jobs = min(jobs, max(2, len(plan.todo)))  # all processes start at once, also those with nothing to do
    stack = 1 if stack is None and scheduler and not gpu else _most(study, plan.experiment, stack)
    run = _Run(plan, outcome, scheduler is not None, stack, jobs)
    line = Progress() if progress is True else progress or None
    try:
        with closing(run_jobs(perform_group, _described(study, run), jobs, scheduler)) as outcomes:
            for slugs, found in outcomes:
                run.keep(slugs, found)
                if line:
                    line.show(run.ended / len(plan.todo), f"{run.ended}/{len(plan.todo)}")
    finally:
        run.abandon()
        if line:
            line.clear()
    return run.outcome


def _most(study, experiment: Experiment, stack: int | None) -> int | None:
    """The most experiments in a job: `stack` if it is given, 1 if the study asks for what a job would share."""
    if stack is not None or experiment.together is None:
        return stack
    columns = [claim["measure"] for claim in study.claims]
    columns += [figure[axis] for figure in study.figures for axis in ("x", "y") if axis in figure]
    return 1 if any(experiment.together.shares(column) for column in columns) else None


class _Run:
    """The experiments of one run: those that it has claimed, and what came of the others."""

    def __init__(self, plan: Plan, outcome: Outcome, remote: bool, stack: int | None, processes: int):
        self.plan, self.outcome, self.remote, self.stack, self.processes = plan, outcome, remote, stack, processes
        self.claims: dict[str, tuple[Item, Claim]] = {}

    @property
    def ended(self) -> int:
        """How many of the experiments to do have been done, by this run or another."""
        return len(self.outcome.done) + len(self.outcome.failed) + len(self.outcome.elsewhere)

    def calls(self) -> Iterator[Call]:
        """Claim one group after the other; those of another run once more at the end, in case it left some."""
        busy, still_busy, together = [], [], self.plan.experiment.together
        groups = grouped(self.plan.todo, lambda item: item.record["settings"], together, self.stack, self.processes)
        for group in groups:
            yield from self._claimed(group, busy)
        for item in busy:
            yield from self._claimed([item], still_busy)
        self.outcome.elsewhere.extend(item.slug for item in still_busy)

    def _claimed(self, group: list[Item], busy: list[Item]) -> Iterator[Call]:
        """The call for those of the group that this run gets."""
        claimed = [item for item in group if self._claim(item, busy)]
        if claimed:
            settings = [item.record["settings"] for item in claimed]
            folders = [None if self.remote else self.claims[item.slug][1].work for item in claimed]
            yield tuple(item.slug for item in claimed), (self.plan.experiment, settings, folders)

    def _claim(self, item: Item, busy: list[Item]) -> bool:
        claim = claim_folder(item.path)
        if claim is None:
            busy.append(item)
            return False
        if self._was_done_elsewhere(item):
            claim.abandon()
            self.outcome.elsewhere.append(item.slug)
            return False
        self.claims[item.slug] = item, claim
        return True

    def _was_done_elsewhere(self, item: Item) -> bool:
        """Whether another run has written a result since the plan was made."""
        state = state_of(item.path, item.record, self.plan.experiment.defaults)
        return state == "result" or (state == "other settings" and item.slug not in self.plan.replaced)

    def keep(self, slugs: tuple[str, ...], found: tuple | Failure) -> None:
        """Write what came of a group of experiments, or of the process that had them."""
        outcomes, reason = ([found] * len(slugs), None) if isinstance(found, Failure) else found
        for slug, outcome in zip(slugs, outcomes, strict=True):
            self._keep(slug, outcome)
            if reason is not None:
                self.outcome.apart[slug] = reason

    def _keep(self, slug: str, outcome: tuple | Failure) -> None:
        item, claim = self.claims[slug]
        if isinstance(outcome, Failure):
            claim.fail(item.record, outcome.traceback)
            self.outcome.failed[slug] = outcome.message
        else:
            claim.finish(item.record, *outcome)
            self.outcome.done.append(slug)
        del self.claims[slug]

    def abandon(self) -> None:
        """Leave no trace of what has not ended."""
        for _, claim in list(self.claims.values()):
            claim.abandon()


def _described(study, run: _Run) -> Iterator[Call]:
    """The calls of a run, and before them its description: they are taken once a cluster has answered."""
    _describe(study, run.plan, run.outcome.folder)
    yield from run.calls()


def _describe(study, plan: Plan, folder: Path) -> None:
    """Write what the study is, for those who read the results. Its claims may be others than before."""
    folder.mkdir(parents=True, exist_ok=True)
    slugs = [each.slug for each in study.combinations if each.refused is None and each.slug not in plan.refused]
    derived = {} if study.rules is None else {"derived": study.rules.derived}  # settings that follow from the axes
    described = {name: getattr(study, name) for name in DESCRIPTION}
    write_json({**described, **derived, "slugs": slugs}, folder / STUDY)
    for item in plan.finished:  # an axis with more values numbers them anew
        if read_record(item.path) != item.record:
            write_json(item.record, item.path / SETTINGS)

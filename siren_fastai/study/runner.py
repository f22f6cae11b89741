"""Running a study: its experiments in processes or on a cluster, each into a folder of its own."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from siren_fastai.files import write_json
from siren_fastai.jobs.call import Call, Failure
from siren_fastai.jobs.run import check_jobs, run_jobs
from siren_fastai.progress import Progress
from siren_fastai.study.folder import SETTINGS, Claim, claim_folder, read_record, state_of
from siren_fastai.study.perform import perform
from siren_fastai.study.plan import Item, Plan, plan_study
from siren_fastai.study.registry import Experiments, experiment_named

__all__ = ["STUDY", "Outcome", "run_study"]

STUDY = "study.json"  # in the folder of the results: what the study is, and its claims
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


def run_study(
    study,  # a Study, as `load_study` returns it
    folder: str | Path,  # for its results: a folder for each experiment, named by its slug
    jobs: int | None = None,  # processes, each with one thread; None is one for each core, 1 is this process
    only: Sequence[str] | None = None,  # slugs, or patterns of them such as "*seed-0*"
    scheduler: str | None = None,  # of a Dask cluster that runs the experiments instead, such as "tcp://host:8786"
    experiments: Experiments | None = None,  # your own, by name: functions of (settings, folder) that return a dict
    progress: bool | Progress = True,  # one line for the whole study, with the time left
    overwrite: bool = False,  # replace results that were made with other settings
) -> Outcome:
    """Run the experiments of a study that have no result in `folder` yet.

    An experiment's folder is written whole or not at all. One that fails leaves its traceback there as error.txt, the
    others go on, and the next run tries it again. Several runs can work in one folder, each at experiments of its own.
    After an interruption, or a kill, the next run goes on; what was running leaves nothing.
    On a cluster, the workers send files back: they need this library, but no folder that this machine has.

    Raises: before anything runs, ValueError and FileExistsError as `plan_study`, ValueError, ImportError and OSError as
    `run_jobs`; later OSError if results cannot be written. KeyboardInterrupt ends what is running.
    """
    check_jobs(jobs)
    plan = plan_study(study, Path(folder), experiment_named(study.experiment, experiments), only, overwrite)
    before = [item.slug for item in plan.finished]
    run = _Run(plan, Outcome(Path(folder), finished_before=before, refused=plan.refused), scheduler is not None)
    _describe(study, plan, Path(folder))
    line = Progress() if progress is True else progress or None
    try:
        with closing(run_jobs(perform, run.calls(), jobs, scheduler)) as outcomes:
            for slug, outcome in outcomes:
                run.keep(slug, outcome)
                if line:
                    line.show(run.ended / len(plan.todo), f"{run.ended}/{len(plan.todo)}")
    finally:
        run.abandon()
        if line:
            line.clear()
    return run.outcome


class _Run:
    """The experiments of one run: those that it has claimed, and what came of the others."""

    def __init__(self, plan: Plan, outcome: Outcome, remote: bool):
        self.plan, self.outcome, self.remote = plan, outcome, remote
        self.claims: dict[str, tuple[Item, Claim]] = {}

    @property
    def ended(self) -> int:
        """How many of the experiments to do have been done, by this run or another."""
        return len(self.outcome.done) + len(self.outcome.failed) + len(self.outcome.elsewhere)

    def calls(self) -> Iterator[Call]:
        """Claim one experiment after the other; those of another run once more at the end, in case it left some."""
        busy, still_busy = [], []
        for item in self.plan.todo:
            yield from self._claimed(item, busy)
        for item in busy:
            yield from self._claimed(item, still_busy)
        self.outcome.elsewhere.extend(item.slug for item in still_busy)

    def _claimed(self, item: Item, busy: list[Item]) -> Iterator[Call]:
        claim = claim_folder(item.path)
        if claim is None:
            busy.append(item)
        elif self._was_done_elsewhere(item):
            claim.abandon()
            self.outcome.elsewhere.append(item.slug)
        else:
            self.claims[item.slug] = item, claim
            folder = None if self.remote else claim.work
            yield item.slug, (self.plan.experiment.run, item.record["settings"], folder)

    def _was_done_elsewhere(self, item: Item) -> bool:
        """Whether another run has written a result since the plan was made."""
        state = state_of(item.path, item.record, self.plan.experiment.defaults)
        return state == "result" or (state == "other settings" and item.slug not in self.plan.replaced)

    def keep(self, slug: str, outcome: tuple | Failure) -> None:
        """Write what came of an experiment."""
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


def _describe(study, plan: Plan, folder: Path) -> None:
    """Write what the study is, for those who read the results. Its claims may be others than before."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json({name: getattr(study, name) for name in DESCRIPTION}, folder / STUDY)
    for item in plan.finished:  # an axis with more values numbers them anew
        if read_record(item.path) != item.record:
            write_json(item.record, item.path / SETTINGS)

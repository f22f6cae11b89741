"""`siren-fastai study`: an experiment for every combination of a matrix; its table, verdicts and figures."""

import argparse
from pathlib import Path

from siren_fastai.cli.errors import FAILURE, INTERRUPTED, CommandError, as_usage, did_you_mean
from siren_fastai.cli.options import Chosen, Command, Option, integer
from siren_fastai.cli.shared import CONFIG, JOBS, OVERWRITE, PRINT_CONFIG, SCHEDULER

__all__ = ["COMMAND"]

ACTIONS = ("list", "show", "run", "results", "plot")
FORMATS = ("markdown", "csv", "json", "tensorboard")
STUDIES = Path("studies")  # where results go unless --output says otherwise


def action(text: str) -> str:
    """The type of actions."""
    if text not in ACTIONS:
        raise argparse.ArgumentTypeError(
            f"must be one of {', '.join(ACTIONS)}, got {text!r:.80}{did_you_mean(text, ACTIONS)}"
        )
    return text


OPTIONS = (
    Option("action", "what to do", action, choices=ACTIONS, metavar="ACTION", positional=True),
    Option(
        "target",
        "for show and run a study: one that `list` names, or a YAML file; for results and plot the folder of a run",
        metavar="STUDY or FOLDER",
        nargs="?",
        positional=True,
    ),
    CONFIG,
    Option(
        "output",
        "run: folder for the results (default: studies/STUDY); plot: folder for the figures (default: FOLDER); "
        "results: file to write instead of printing",
        metavar="PATH",
    ),
    OVERWRITE,
    PRINT_CONFIG,
)
RUN = (
    Option("full", "the full protocol instead of the reduced one", None),
    Option(
        "set",
        "another value for a setting, or for an axis of the matrix: --set epochs=5 --set hidden=[256,128]",
        metavar="KEY=VALUE",
        repeated=True,
    ),
    Option(
        "only",
        "only this experiment, or all that fit a pattern such as '*seed-0*'; can be given several times",
        metavar="SLUG",
        repeated=True,
    ),
    JOBS,
    Option(
        "stack",
        "most fits to run as one job, where they differ in seed, rate, scheme or image alone (default: as many as is "
        "quickest; 1 in a study about seconds)",
        integer(1, 4096),
        metavar="N",
    ),
    SCHEDULER,
    Option("dry_run", "print what would run, and run nothing", None),
)
RESULTS = (
    Option(
        "format",
        "markdown: medians and ranges over the random seeds, and the verdicts; csv, json: a row for each experiment; "
        "tensorboard: event files for its HPARAMS tab, in FOLDER/summaries",
        choices=FORMATS,
        default="markdown",
    ),
    Option(
        "by",
        "column whose values are told apart in the table (default: every axis but the seed); can be given several "
        "times",
        metavar="COLUMN",
        repeated=True,
    ),
    Option(
        "measure",
        "column to summarise (default: those of the study's claims and figures); can be given several times",
        metavar="COLUMN",
        repeated=True,
    ),
)


def run(chosen: Chosen) -> int:
    """Do the action. Returns the exit code."""
    if chosen.action == "list":
        if chosen.target is not None:
            hint = f"`siren-fastai study show {chosen.target}` describes one"
            raise CommandError(f"`study list` lists all studies, got {chosen.target!r:.80}; {hint}")
        return _list()
    if chosen.target is None:
        wanted = "the folder of a run" if chosen.action in ("results", "plot") else "a study, or a YAML file"
        raise CommandError(f"`study {chosen.action}` needs {wanted} (`siren-fastai study list` lists the studies)")
    return {"show": _show, "run": _run, "results": _results, "plot": _plot}[chosen.action](chosen)


def _list() -> int:
    from siren_fastai.study.study import load_study, study_names

    studies = [load_study(name) for name in study_names()]
    width = max((len(study.name) for study in studies), default=0)
    for study in studies:
        print(f"{study.name:<{width}}  {len(study.combinations):>5} experiments  {study.title}")
    return 0


def _study(chosen: Chosen):
    from siren_fastai.study.study import load_study

    with as_usage():
        return load_study(chosen.target, chosen.full, chosen.set or ())


def _show(chosen: Chosen) -> int:
    from siren_fastai.cli.studies import description

    print(description(_study(chosen)))
    return 0


def _run(chosen: Chosen) -> int:
    from siren_fastai.cli.studies import plan_lines
    from siren_fastai.study.registry import experiment_named
    from siren_fastai.study.running.plan import plan_study

    study = _study(chosen)
    folder = Path(chosen.output) if chosen.output else STUDIES / (f"{study.name}-full" if study.full else study.name)
    with as_usage(options={"overwrite": "y"}):
        plan = plan_study(study, folder, experiment_named(study.experiment), chosen.only, chosen.y)
    print("\n".join(plan_lines(study, plan, folder, every=chosen.dry_run)), flush=True)
    return 0 if chosen.dry_run else _go(chosen, study, folder)


def _go(chosen: Chosen, study, folder: Path) -> int:
    """Run what there is to run. Returns the exit code."""
    from siren_fastai.cli.studies import outcome_lines
    from siren_fastai.study.runner import run_study

    try:
        with as_usage():
            options = {"only": chosen.only, "scheduler": chosen.scheduler, "overwrite": chosen.y, "stack": chosen.stack}
            outcome = run_study(study, folder, chosen.jobs, **options)
    except KeyboardInterrupt:
        message = f"interrupted; what is finished is in {folder}, and the same command goes on"
        raise CommandError(message, INTERRUPTED) from None
    print("\n".join(outcome_lines(outcome)), flush=True)
    if outcome.failed:
        raise CommandError(f"{len(outcome.failed)} experiments failed; the others are complete", FAILURE)
    return 0


def _results(chosen: Chosen) -> int:
    from siren_fastai.cli.studies import results_text
    from siren_fastai.files import replacing

    if chosen.format == "tensorboard":
        return _write_hparams(chosen)
    output = _checked_output(chosen)
    with as_usage():
        text = results_text(Path(chosen.target), chosen.format, chosen.by, chosen.measure)
    if output is None:
        print(text, end="")
        return 0
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


def _write_hparams(chosen: Chosen) -> int:
    from siren_fastai.study.hparams import write_hparams

    for name in ("output", "by", "measure"):
        if getattr(chosen, name):
            raise CommandError(f"`{name}` is not for --format tensorboard, which writes all to FOLDER/summaries")
    if not list(Path(chosen.target).glob("*/result.json")):
        raise CommandError(f"{chosen.target} holds no results; name the folder that `siren-fastai study run` wrote")
    with as_usage():
        folder = write_hparams(chosen.target)
    print(f"`tensorboard --logdir {folder}` shows them")
    return 0


def _checked_output(chosen: Chosen) -> Path | None:
    from siren_fastai.cli.paths import check_output

    return chosen.output and check_output(chosen.output, chosen.y, chosen.config_filepath)


def _plot(chosen: Chosen) -> int:
    from siren_fastai.cli.paths import check_outputs
    from siren_fastai.cli.studies import figures_of
    from siren_fastai.fits.outputs import save_figure

    folder = Path(chosen.output or chosen.target)
    with as_usage():
        figures = figures_of(Path(chosen.target))
    names = [f"figure_{number}.png" for number in range(1, len(figures) + 1)]
    check_outputs(folder, names, chosen.y, chosen.config_filepath)
    for name, figure in zip(names, figures, strict=True):
        save_figure(figure, folder / name)
        print(folder / name)
    return 0


NOTES = """
### study: the files that `run` writes

| file | content |
|---|---|
| `study.json` | the study's title, protocol, claims and figures, and the names of its experiments |
| `SLUG/settings.json` | what was asked of the experiment of that name: its number, its axes, all its settings |
| `SLUG/result.json` | its row of the table |
| `SLUG/history.csv` | how it went, from evaluation to evaluation; further files are the experiment's own |
| `SLUG/error.txt` | the traceback of one that failed, in place of the other files; the next run tries it again |

An experiment's folder is written whole or not at all. What is finished is not run again: after Ctrl-C, a kill or a
failure the same command goes on. Several runs can work in one folder at a time, also from machines that share it; each
experiment is run by one of them. The exit code is 1 if experiments failed, once the others are done.

Refused with exit code 2, before anything runs:

- results of an experiment that were made with other settings, unless `--y` replaces them
- other results in the folder, of other seeds for example, whose settings differ from those that this run would give
  them: one table would mix both. `--y` doesn't remove them; choose another `--output`. Settings that follow from an
  axis by `${axis}` may differ with it
- a folder with results of another study or matrix, or with files that no study wrote
- a study or a file that isn't there, and what `--set` or `--only` name that the study doesn't have; `--dry_run` refuses
  the same
- a target for `list`; and `--output`, `--by` and `--measure` with `--format tensorboard`

`results` says how many experiments are finished and how many failed, and in each verdict how many rows have no
partner. `--format csv`, `--format json` and `plot` say it on standard error if some are missing.

On a cluster, start a scheduler and workers with one thread each, where this library is installed:

    dask scheduler --port 8786
    dask worker tcp://host:8786 --nthreads 1 --nworkers 8
    siren-fastai study run width-scaling --scheduler tcp://host:8786

The workers send their files back, so that they need no folder in common with the machine that runs the command. What a
worker was at when it was killed is done by another one. An experiment that is killed with several workers has failed.
"""

COMMAND = Command(
    name="study",
    summary="run an experiment for every combination of a matrix",
    about="Answer a question by experiments: every combination of a matrix of settings, several random seeds each, in "
    "several processes or on a cluster. `list` names the studies that come with the library, `show` describes one, "
    "`run` runs what is not finished yet, `results` and `plot` read the folder of a run.",
    usage="ACTION [STUDY or FOLDER] [options]",
    groups={"options": OPTIONS, "show and run": RUN, "results": RESULTS},
    run=run,
    notes=NOTES,
)

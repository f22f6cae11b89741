"""What `siren-fastai study` prints of a study, of a plan, of a run, and of its results."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from siren_fastai.cli.errors import warn
from siren_fastai.study.figures import study_figures
from siren_fastai.study.mixing import mixed_text
from siren_fastai.study.results import read_histories, read_results, summary, to_csv, to_json, to_markdown, wide
from siren_fastai.study.runner import DESCRIPTION, Outcome
from siren_fastai.study.running.folder import ERROR, read_record
from siren_fastai.study.running.home import counts, described
from siren_fastai.study.running.plan import Plan
from siren_fastai.study.study import Study
from siren_fastai.study.table import SEED
from siren_fastai.study.verdicts import verdict

__all__ = ["description", "figures_of", "outcome_lines", "plan_lines", "results_text"]


def description(study: Study) -> str:
    """What a study is: its source, protocol, matrix, settings, claims."""
    axes = {name: [] for each in study.combinations for name in each.axes}
    for each in study.combinations:
        for name, value in each.axes.items():
            if value not in axes[name]:
                axes[name].append(value)
    protocol = study.protocol.get("full" if study.full else "reduced")
    lines = [f"{study.name}: {study.title}", *_origin(study.source, protocol, study.full), ""]
    lines += [f"{len(study.combinations)} experiments, {study.experiment!r}:"]
    lines += [f"  {name}: {', '.join(map(str, values))}" for name, values in axes.items()]
    refused = [each for each in study.combinations if each.refused]
    lines += [f"  {len(refused)} are refused: {refused[0].refused}"] if refused else []
    lines += ["", *(f"claim: {claim['says']}" for claim in study.claims)]
    return "\n".join(lines).strip()


def plan_lines(
    study: Study,
    plan: Plan,
    folder: Path,
    every: bool,  # whether to list the experiments one by one
) -> list[str]:
    """What there is to do, before it is done."""
    counts = [f"{len(plan.todo)} to run", f"{len(plan.finished)} finished"]
    counts += [f"{len(plan.failed_before)} of them failed before"] if plan.failed_before else []
    counts += [f"{len(plan.replaced)} with other settings to replace"] if plan.replaced else []
    counts += [f"{len(plan.refused)} refused"] if plan.refused else []
    head = f"{study.name}, {'full' if study.full else 'reduced'} protocol, in {folder}: {', '.join(counts)}"
    if not every:
        reasons = list(dict.fromkeys(plan.refused.values()))
        return [head, *(f"  refused: {reason}" for reason in reasons)]
    refused = [f"  {slug}  refused: {reason}" for slug, reason in plan.refused.items()]
    finished = [f"  {item.slug}  finished" for item in plan.finished]
    return [head, *(f"  {item.slug}" for item in plan.todo), *finished, *refused]


def outcome_lines(outcome: Outcome) -> list[str]:
    """What came of a run."""
    counts = [f"{len(outcome.done)} done"]
    counts += [f"{len(outcome.failed)} failed"] if outcome.failed else []
    counts += [f"{len(outcome.elsewhere)} left to another run"] if outcome.elsewhere else []
    lines = [f"{outcome.folder}: {', '.join(counts)}"]
    for slug, message in outcome.failed.items():
        lines.append(f"  {slug} failed: {message[:200]} (see {outcome.folder / slug / ERROR})")
    if outcome.apart:
        reason = next(iter(outcome.apart.values()))
        lines.append(f"  {len(outcome.apart)} were run one by one, as they could not be run together: {reason[:200]}")
    return [*lines, f"`siren-fastai study results {outcome.folder}` prints the table"]


def results_text(
    folder: Path,  # of a run
    format: str,  # "markdown", "csv" or "json"
    by: Sequence[str] | None,  # columns to tell apart; None is every axis but the seed
    measures: Sequence[str] | None,  # columns to summarise; None is those of the claims and figures
) -> str:
    """The results as text. CSV and JSON have a row for each experiment, or with `by` or `measures` for each group.

    Raises: ValueError for a folder without results, or a column that isn't there.
    """
    table, study = _table(folder), _described(folder)
    if format == "markdown":
        shown = to_markdown(wide(_summed(table, study, by, measures)))
        return f"{_head(folder, table, study)}\n\n{shown}{_verdicts(table, study)}"
    _warn_of_unfinished(folder, table)
    if by or measures:
        table = _summed(table, study, by, measures)
    return to_csv(table) if format == "csv" else to_json(table)


def figures_of(folder: Path) -> list[Figure]:
    """The figures that the study asks for. Raises: ValueError for a folder without results, or a study without any."""
    table, study = _table(folder), _described(folder)
    if not study.get("figures"):
        raise ValueError(f"the study in {folder} describes no figures; add `figures:` to its file and run it again")
    _warn_of_unfinished(folder, table)
    return study_figures(study["figures"], table, read_histories(folder, table))


def _table(folder: Path) -> pd.DataFrame:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    table = read_results(folder)
    if not len(table):
        failed = counts(folder, ()).failed
        hint = f"{failed} experiments failed, see their {ERROR}" if failed else "name the folder of a `study run`"
        raise ValueError(f"{folder} holds no results; {hint}")
    settings = {name for slug in table["slug"] for name in read_record(folder / slug)["settings"]}
    table.attrs["results"] = [name for name in table if name not in {"number", "slug", *table.attrs["axes"], *settings}]
    return table


def _described(folder: Path) -> dict:
    """What `run` noted of the study, if that is all there."""
    study = described(folder)
    return study if set(DESCRIPTION) <= set(study) else {}


def _warn_of_unfinished(folder: Path, table: pd.DataFrame) -> None:
    """Say what a table or a figure lacks, where they cannot say it themselves."""
    found = counts(folder, table["slug"])
    if found.finished < found.all:
        warn(f"{folder}: {found}")


def _summed(table: pd.DataFrame, study: dict, by: Sequence[str] | None, measures: Sequence[str] | None) -> pd.DataFrame:
    by = [name for name in table.attrs["axes"] if name != SEED] if by is None else by
    return summary(table, by, measures or _measures(table, study))


def _measures(table: pd.DataFrame, study: dict) -> list[str]:
    """The columns that the study is about; if it names none, all numbers of the results."""
    named = [claim.get("measure") for claim in study.get("claims", ())]
    named += [figure.get("y") for figure in study.get("figures", ())]
    there = [name for name in dict.fromkeys(named) if name in table]
    return there or [name for name in table.attrs["results"] if is_numeric_dtype(table[name])]


def _head(folder: Path, table: pd.DataFrame, study: dict) -> str:
    protocol = study.get("protocol", {}).get("full" if study.get("full") else "reduced")
    lines = [f"# {study['title']}", "", *_origin(study["source"], protocol, study["full"]), ""] if study else []
    lines.append(f"{counts(folder, table['slug'])}; median (minimum to maximum) over the random seeds.")
    mixed = table.attrs["mixed"]
    lines += ["", f"**Mixed**: settings differ that are no axis: {mixed_text(mixed)}."] if mixed else []
    return "\n".join(lines)


def _origin(source: str, protocol: str | None, full: bool) -> list[str]:
    """Where the claims are from, and how they are tested, as far as the study says so."""
    lines = [f"Source: {source}"] if source else []
    return [*lines, f"Protocol, {'full' if full else 'reduced'}: {protocol}"] if protocol else lines


def _verdicts(table: pd.DataFrame, study: dict) -> str:
    """Each claim with its verdict."""
    return "".join(f"\n- {claim['says']}\n  {_judged(claim, table)}\n" for claim in study.get("claims", ()))


def _judged(claim: dict, table: pd.DataFrame) -> str:
    try:
        return verdict(claim, table).sentence
    except ValueError as error:  # an unfinished study, for instance
        return f"Not judged: {error}"

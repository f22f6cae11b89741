"""The folder of a study's results: what else is in it must fit into one table with what is to be run."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from siren_fastai.files import strict_json
from siren_fastai.study.experiment import Experiment, Plain
from siren_fastai.study.parsing.rules import Rules
from siren_fastai.study.running.folder import ERROR, RESULT, SETTINGS, STUDY, read_record

__all__ = ["Counts", "check_alike", "check_home", "counts", "described", "difference", "noted"]


def check_home(
    folder: Path,  # of a study's results; it need not exist
    name: str,  # of the study
    axes: Collection[str],  # its own
) -> None:
    """Raise FileExistsError unless the folder is new, or has nothing but this study's results in its table."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; name a folder for the results")
    if (folder / STUDY).exists() and not described(folder):
        raise FileExistsError(f"{folder / STUDY} was not written by a study; choose another output folder")
    for path in sorted(folder.glob(f"*/{SETTINGS}")):
        try:
            record = read_record(path.parent)
            other, found = record["study"], set(record["axes"])
        except (ValueError, KeyError, TypeError):
            continue
        if other != name or found != set(axes):
            what = f"the study {other!r:.80}" + ("" if other != name else f" with the axes {', '.join(sorted(found))}")
            raise FileExistsError(
                f"{path.parent} is a result of {what}, and one table would mix it with the new ones; choose another "
                "output folder"
            )


def described(
    folder: Path,  # of a study's results
) -> dict[str, Plain]:
    """Return what a run noted of the study in `study.json`; nothing if there is none, or another program's."""
    try:
        study = json.loads((folder / STUDY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return study if isinstance(study, dict) and {"name", "claims", "experiment"} <= set(study) else {}


def noted(
    folder: Path,  # of a study's results
    key: str,  # of `study.json`: "slugs", or "derived" for the settings that follow from the axes
) -> set[str] | None:
    """Return the names that a run noted there; None if it noted none, as older ones."""
    names = described(folder).get(key)
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else None


class Counts(NamedTuple):
    """How far a study is."""

    finished: int
    failed: int
    all: int  # of the last run, and what earlier ones left

    def __str__(self) -> str:
        """In words: "6 experiments", or "4 of 6 experiments finished, 1 failed"."""
        if self.finished == self.all:
            return f"{self.all} experiments"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.finished} of {self.all} experiments finished{failed}"


def counts(
    folder: Path,  # of a study's results
    finished: Iterable[str],  # slugs of those in the table
) -> Counts:
    """Count the experiments of a study."""
    done, failed = set(finished), {path.parent.name for path in folder.glob(f"*/{ERROR}")}
    return Counts(len(done), len(failed - done), len(done | failed | (noted(folder, "slugs") or set())))


def check_alike(
    folder: Path,  # of a study's results; it need not exist
    rules: Rules,  # the study's
    experiment: Experiment,  # that it runs
    besides: Collection[str],  # slugs of results that are known to fit, or that are to be replaced
) -> None:
    """Raise FileExistsError for a result with other settings than the study has for its values of the axes.

    Settings with ${matrix_slug} or ${matrix_id} aren't compared: they only name the experiment.
    """
    for path in sorted(path.parent for path in folder.glob(f"*/{RESULT}")):
        what = None if path.name in besides else _misfit(path, rules, experiment)
        if what is not None:
            raise FileExistsError(
                f"{path} holds a result {what}, which this run would not replace, and one table would mix it with the "
                "new ones; choose another output folder, or move it away"
            )


def _misfit(path: Path, rules: Rules, experiment: Experiment) -> str | None:
    try:
        record = read_record(path)
        found = {name: record[name] for name in ("experiment", "axes", "settings")}
    except (ValueError, KeyError):  # not in the table either
        return None
    try:
        asked = {"experiment": experiment.name, "settings": rules.at(found["axes"])}
    except ValueError as error:
        return f"for which this study has no settings ({error})"
    return difference(found, asked, experiment.defaults, rules.naming)


def difference(
    found: Mapping,  # the record of a result
    asked: Mapping,  # the record of what is to be run
    defaults: Mapping[str, Plain],  # of settings that a record may lack
    ignored: Collection[str] = (),  # settings
) -> str | None:
    """Return in words the first thing in which a result differs from what is asked for, or None."""
    if found["experiment"] != asked["experiment"]:
        return f"of the experiment {found['experiment']!r}, not {asked['experiment']!r}"
    before, now = (json.loads(strict_json({**defaults, **record["settings"]})) for record in (found, asked))
    for name in {**before, **now}:
        if name not in ignored and before.get(name) != now.get(name):
            return f"with {name} {before.get(name)!r:.80}, not {now.get(name)!r:.80}"
    return None

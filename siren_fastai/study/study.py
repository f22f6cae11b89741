"""A study: a claim or a question, the matrix of experiments that answers it, and how to judge and draw the answer."""

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from siren_fastai.study.experiment import Experiment, Plain
from siren_fastai.study.matrix import Combination, combine, rules_of
from siren_fastai.study.parsing.axes import STUDY_KEYS
from siren_fastai.study.parsing.document import MAX_CHARACTERS, Document, read_document
from siren_fastai.study.parsing.extends import extended
from siren_fastai.study.parsing.overrides import overridden
from siren_fastai.study.parsing.questions import check_claims, check_figures
from siren_fastai.study.parsing.rules import Rules
from siren_fastai.study.parsing.substitution import check_references
from siren_fastai.study.registry import experiment_named

__all__ = ["Study", "load_study", "study_names"]

PRESETS = Path(__file__).with_name("presets")
SUFFIXES = (".yaml", ".yml")
TYPES = {
    **dict.fromkeys(("title", "source", "experiment"), (str, "text")),
    **dict.fromkeys(("protocol", "full"), (dict, "a mapping")),
    **dict.fromkeys(("claims", "figures"), (list, "a list of mappings")),
}


@dataclass(frozen=True)
class Study:
    """What a study file says."""

    name: str  # of the file, without its suffix
    title: str
    source: str  # where the claims come from
    protocol: dict[str, str]  # a sentence each for "reduced" and "full"
    full: bool  # whether this is the full protocol
    claims: list[dict]
    figures: list[dict]
    combinations: list[Combination]
    experiment: str
    rules: Rules | None = None  # how the settings follow from the axes; None, without a file: that is not known


def study_names() -> list[str]:
    """Return the names of the built-in studies."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_study(
    name: str | os.PathLike,  # of a built-in study, or a file: with a folder or .yaml
    full: bool = False,  # the full protocol, which the file's `full` describes
    overrides: Mapping[str, Plain] | Iterable[str] | None = None,  # see `overridden`: {"epochs": 5} or ["epochs=5"]
    experiments: Mapping[str, Experiment | Callable] | None = None,  # the caller's own, by the name in the file
) -> Study:
    """Read a study and check it, before anything is trained.

    Raises: FileNotFoundError if there is no such study or file, IsADirectoryError for a folder; ValueError that names
    the file, the line and the key.
    """
    path = _path(name)
    document = extended(read_document(_text(path), str(name)), lambda base: _text(_base(path, base)))
    document = overridden(_of_protocol(document, full), overrides or {})
    _check_types(document)
    return _study(document, path.stem, full, experiments)


def _study(document: Document, name: str, full: bool, experiments: Mapping | None) -> Study:
    values = document.values
    try:
        experiment = experiment_named(values["experiment"], experiments)
    except KeyError:
        raise document.error((), "the key `experiment` is missing; it says what each combination runs") from None
    except ValueError as error:
        raise document.error(("experiment",), str(error)) from None
    combinations = combine(document, experiment)
    if all(combination.refused for combination in combinations):
        raise document.error((), f"no combination can be run; {combinations[0].slug}: {combinations[0].refused}")
    check_claims(document, combinations, experiment)
    check_figures(document)
    texts = values.get("title", name), values.get("source", ""), values.get("protocol", {})
    lists = values.get("claims", []), values.get("figures", [])
    return Study(name, *texts, full, *lists, combinations, experiment.name, rules_of(document, experiment))


def _of_protocol(document: Document, full: bool) -> Document:
    """The document with `full` merged over it, or without it."""
    if not full:
        return document.without("full")
    over = document.values.get("full")
    if not isinstance(over, dict):
        raise document.error(("full",), f"expected what the full protocol changes, a mapping, got {over!r:.60}")
    places = {path[1:]: place for path, place in document.places.items() if path[:1] == ("full",)}
    return Document(document.name, over, places).over(document.without("full"))


def _check_types(document: Document) -> None:
    for key in (key for key in STUDY_KEYS if key in document.values):
        kind, wanted = TYPES[key]
        value = document.values[key]
        if not isinstance(value, kind) or (kind is list and not all(isinstance(item, dict) for item in value)):
            raise document.error((key,), f"expected {wanted}, got {value!r:.60}")
        check_references(Document(document.name, {key: value}, document.places), ())


def _path(name: str | os.PathLike) -> Path:
    path = Path(name)
    if path.suffix in SUFFIXES or len(path.parts) > 1 or isinstance(name, os.PathLike):
        return path
    if path.name not in study_names():
        near = difflib.get_close_matches(path.name, study_names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(study_names())}."
        raise FileNotFoundError(f"there is no study {str(name)!r:.80}; {hint} A file's name ends in .yaml")
    return PRESETS / f"{path.name}.yaml"


def _base(path: Path, name: str) -> Path:
    """What `$extends: name` means in the file at `path`: a file beside it, or a built-in study; nothing else."""
    if Path(name).suffix not in SUFFIXES:
        return _path(name) if Path(name).name == name else _refuse(name)
    return path.with_name(name) if Path(name).name == name else _refuse(name)


def _refuse(name: str) -> Path:
    raise ValueError(f"expected a file in the same folder or a built-in study, got {name!r:.80}")


def _text(path: Path) -> str:
    """The text of a file, or the beginning of a longer one, which `read_document` refuses."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r:.200}; name a study's YAML file")
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r:.200} is a folder; name a study's YAML file")
    with open(path, "rb") as file:
        content = file.read(4 * MAX_CHARACTERS + 1)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(content) > MAX_CHARACTERS:
            return content.decode("utf-8", errors="replace")
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: not UTF-8; save the file as UTF-8 text") from None

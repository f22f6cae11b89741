"""What is kept of a finished study: a small JSON file, from which every verdict can be computed anew, and a picture."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from PIL import Image

from siren_fastai.figures import figure_pixels
from siren_fastai.files import replacing, strict_json
from siren_fastai.study.experiment import Plain
from siren_fastai.study.figures import read_figure, study_figures
from siren_fastai.study.judging.claims import read_claim
from siren_fastai.study.results import read_histories, read_results
from siren_fastai.study.running.folder import read_record
from siren_fastai.study.table import cell, read_cell

__all__ = ["PARTS", "KeptStudy", "common_settings", "keep_study", "named_columns", "read_kept", "write_kept"]

DESCRIPTION = "study.json"  # `run_study` writes it to the folder of the results
PARTS = ("name", "title", "source", "protocol", "full", "claims", "figures")  # of a study's description
ALWAYS = ("psnr", "best_psnr", "train_seconds", "diverged")  # kept where a study has them
DIGITS = 6  # significant, of the numbers kept
MAX_PICTURES = 2  # of a study
COLORS = 64  # of a picture's palette, which makes it a third as large


@dataclass(frozen=True)
class KeptStudy:
    """A finished study: what it is, how it was run, and its table."""

    study: Mapping[str, Plain]  # name, title, source, protocol, full, claims, figures, experiment
    about: Mapping[str, Plain]  # date, processor, version of torch
    settings: Mapping[str, Plain]  # that all experiments had in common
    table: pd.DataFrame  # a row for each experiment: the axes, and the columns that claims and figures name

    @property
    def name(self) -> str:
        """The study's name, with "-full" for its full protocol."""
        return str(self.study["name"]) + ("-full" if self.study["full"] else "")


def keep_study(
    folder: str | Path,  # of the study, as `run_study` wrote it
    results: str | Path,  # the folder for NAME.json
    pictures: str | Path | None = None,  # the folder for NAME-1.png and so on, its first figures; None: none
) -> Path:
    """Write what is worth keeping of a study, and return the path of its JSON file; older files are replaced.

    Raises: ValueError if `folder` is not that of a study, or has no finished experiment; OSError for its files.
    """
    study, table = _description(Path(folder)), read_results(folder)
    if table.empty:
        raise ValueError(f"{folder} has no finished experiment: run the study first")
    names = [*table.attrs["axes"], *named_columns(study), *ALWAYS]
    columns = {name: [_rounded(value) for value in table[name]] for name in dict.fromkeys(names) if name in table}
    about = dict(date=str(date.today()), processor=_processor(), torch=version("torch"), experiments=len(table))
    settings = common_settings([read_record(Path(folder, slug))["settings"] for slug in table["slug"]])
    kept = KeptStudy(study, about, settings, table)
    if pictures is not None:
        figures = study_figures(study["figures"][:MAX_PICTURES], table, read_histories(folder, table))
        for i, figure in enumerate(figures, 1):
            _save(figure, Path(pictures, f"{kept.name}-{i}.png"))
    return write_kept(kept, columns, Path(results, f"{kept.name}.json"))


def read_kept(
    path: str | Path,  # of a file that `keep_study` wrote
) -> KeptStudy:
    """Read a study that was kept. Raises: ValueError with the file if it isn't one."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        columns = {name: list(map(read_cell, values)) for name, values in content["columns"].items()}
        table = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
        table.attrs["axes"] = list(content["axes"])
        parts = (dict(content[name]) for name in ("study", "about", "settings"))
        return KeptStudy(*parts, table.infer_objects())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not the results of a study ({error!r:.200})") from None


def common_settings(settings: Sequence[Mapping[str, Plain]]) -> dict[str, Plain]:
    """Return the settings that are the same in all experiments."""
    return {name: value for name, value in settings[0].items() if all(one.get(name) == value for one in settings)}


def write_kept(kept: KeptStudy, columns: Mapping[str, list], path: Path) -> Path:
    """Write strict JSON with a line for each column, and return the path."""
    lines = [f' "{name}": {_line(getattr(kept, name))}' for name in ("study", "about", "settings")]
    parts = [f"  {_line(name)}: {_line(values)}" for name, values in columns.items()]
    lines += [f' "axes": {_line(kept.table.attrs["axes"])}', ' "columns": {\n' + ",\n".join(parts) + "\n }"]
    with replacing(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def _line(value: Plain) -> str:
    return json.dumps(json.loads(strict_json(value)), ensure_ascii=False)


def _description(folder: Path) -> dict[str, Plain]:
    path = folder / DESCRIPTION
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
        return {name: study[name] for name in PARTS}
    except FileNotFoundError:
        raise ValueError(f"{folder} is not the folder of a study: it has no {DESCRIPTION}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the description of a study ({error!r:.200})") from None


def named_columns(study: Mapping) -> list[str]:
    """Return the columns of results that the study's claims and figures name."""
    names: list[str | None] = []
    for claim in map(read_claim, study["claims"]):
        names += [claim.measure, *claim.first, *claim.than, *(claim.pair or ()), claim.retuned]
    for figure in map(read_figure, study["figures"]):
        names += [figure.y, figure.x, figure.group, figure.panel, *figure.where] if figure.kind != "curves" else []
    return [name for name in names if name is not None]


def _rounded(value) -> Plain:
    value = cell(value)
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _save(figure, path: Path) -> None:
    """Write the figure as a PNG with a palette; the folder is made."""
    figure.set_dpi(80)
    with replacing(path) as temporary:
        Image.fromarray(figure_pixels(figure)).quantize(COLORS).save(temporary, optimize=True)

"""The results of a study: its folders as one table, summaries over random seeds, and Markdown, CSV and JSON."""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from siren_fastai.files import strict_json
from siren_fastai.study.mixing import mixed_settings, mixed_text
from siren_fastai.study.running.home import noted
from siren_fastai.study.table import SO_FAR, better_of, cell, check_columns, keys, numbers_of, read_cell, spread

__all__ = ["NOT_REACHED", "read_histories", "read_results", "summary", "to_csv", "to_json", "to_markdown", "wide"]

SETTINGS, RESULT, HISTORY = "settings.json", "result.json", "history.csv"
NOT_REACHED = "not reached"
STATISTICS = ("median", "min", "max", "count", "reached")


def read_results(
    folder: str | Path,  # of a study, as `run_study` writes it: a folder for each experiment
) -> pd.DataFrame:
    """Return a row for each finished experiment: number, slug, its axes, the other settings, and its results.

    `table.attrs["axes"]` lists the axes. A result with a setting's name is called "NAME (result)". Folders without a
    `result.json` (unfinished or failed experiments, and others) are left out; unreadable ones with a warning.
    A warning, and `table.attrs["mixed"]`, name settings that differ although they are no axis.
    Raises: FileNotFoundError if `folder` isn't there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    rows = [row for path in sorted(folder.iterdir()) if (row := _read_row(path)) is not None]
    rows.sort(key=lambda row: (row["number"], row["slug"]))
    axes = list(dict.fromkeys(name for row in rows for name in row["axes"]))
    settings = dict.fromkeys(name for row in rows for name in row["settings"])
    leading = ["number", "slug", *axes, *(name for name in settings if name not in axes)]
    table = pd.DataFrame([_flat(row, leading) for row in rows])
    table = table.reindex(columns=[*leading, *(name for name in table if name not in leading)])
    table.attrs["axes"], table.attrs["mixed"] = axes, mixed_settings(rows, noted(folder, "derived"))
    if table.attrs["mixed"]:
        what = f"settings that differ although they are no axis: {mixed_text(table.attrs['mixed'])}"
        warnings.warn(f"{folder} holds results with {what}; the table mixes them", stacklevel=2)
    return table


def _read_row(path: Path) -> dict | None:
    """What a folder says of its experiment, or None for a folder that isn't a finished experiment's."""
    if path.name.startswith(".") or not (path / RESULT).is_file() or not (path / SETTINGS).is_file():
        return None
    try:
        asked, result = (json.loads((path / name).read_text(encoding="utf-8")) for name in (SETTINGS, RESULT))
        parts = {name: dict(asked[name]) for name in ("axes", "settings")}
        return {"number": int(asked["number"]), "slug": path.name, **parts, "result": dict(result)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        warnings.warn(f"{path} is left out: its files aren't those of an experiment ({error!r:.200})", stacklevel=3)
        return None


def _flat(row: Mapping, asked: Sequence[str]) -> dict:
    result = {f"{name} (result)" if name in asked else name: value for name, value in row["result"].items()}
    values = {**row["settings"], **row["axes"], **result}
    return {"number": row["number"], "slug": row["slug"], **{name: read_cell(value) for name, value in values.items()}}


def read_histories(
    folder: str | Path,  # of the study
    table: pd.DataFrame,  # rows of `read_results(folder)`
) -> pd.DataFrame:
    """Return all rows of the experiments' `history.csv`, each with `number`, `slug` and the axes of its experiment.

    Experiments without a history are left out. A history's column with the name of an axis, as of `epochs` that a study
    varies and a history counts, is "epochs so far", which `so_far` finds.
    Raises: ValueError with the file for a history that isn't a table.
    """
    axes = ["number", "slug", *table.attrs.get("axes", ())]
    parts = []
    for slug, *values in zip(table["slug"], *(table[name] for name in axes), strict=True):
        path = Path(folder, slug, HISTORY)
        if path.is_file():
            history = _read_history(path).rename(columns={name: name + SO_FAR for name in axes})
            parts.append(history.assign(**dict(zip(axes, values, strict=True))))
    histories = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=axes)
    histories.attrs["axes"] = list(table.attrs.get("axes", ()))
    return histories


def _read_history(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: expected a table with a header ({error})") from None


def summary(
    table: pd.DataFrame,  # as `read_results` returns it
    by: Sequence[str],  # columns; rows that agree in them, such as the seeds of one setting, make a group
    measures: Sequence[str] | Mapping[str, str],  # columns of results; a mapping says of each "higher" or "lower"
) -> pd.DataFrame:
    """Return a row for each group and measure with median, minimum, maximum, count, and how many `reached` it.

    What was not reached counts as worse than every number; a statistic that it decides is nan. Without a mapping,
    PSNR, SSIM and speeds are better when higher, and all others when lower.
    Raises: ValueError for a column that isn't there or doesn't hold numbers.
    """
    measures = measures if isinstance(measures, Mapping) else {name: better_of(name) for name in measures}
    check_columns(table, [*by, *measures])
    columns = {name: numbers_of(table, name, better) for name, better in measures.items()}
    groups: dict[tuple, list[int]] = {}
    for place, group in enumerate(keys(table, by)):
        groups.setdefault(group, []).append(place)
    rows = [
        {**dict(zip(by, group, strict=True)), "measure": name, **spread((values[i] for i in places), measures[name])}
        for group, places in groups.items()
        for name, values in columns.items()
    ]
    return pd.DataFrame(rows, columns=[*by, "measure", *STATISTICS]).astype({name: float for name in STATISTICS[:3]})


def wide(
    summed: pd.DataFrame,  # from `summary`
) -> pd.DataFrame:
    """Return a row for each group and a column of text for each measure: "31.2 (30.1 to 32.0)", then the count."""
    by = list(summed.columns[: list(summed.columns).index("measure")])
    rows: dict[tuple, dict] = {}
    for place, (_, row) in zip(keys(summed, by), summed.iterrows(), strict=True):
        rows.setdefault(place, dict(zip(by, place, strict=True)))[row["measure"]] = told(row)
        rows[place]["count"] = row["count"]
    measures = list(dict.fromkeys(summed["measure"]))
    return pd.DataFrame(list(rows.values()), columns=[*by, *measures, "count"])


def told(numbers: Mapping) -> str:
    """Return the text of a spread: "31.2 (30.1 to 32.0)", or the value alone if all are equal."""
    median, low, high = (number_text(numbers[name]) for name in ("median", "min", "max"))
    return median if low == median == high else f"{median} ({low} to {high})"


def number_text(value: float | None) -> str:
    """Return a number with four significant digits, without an exponent for those between 0.001 and a million."""
    if cell(value) is None:
        return NOT_REACHED
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if isinstance(value, float) and (value.is_integer() or abs(value) >= 1000) and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def to_markdown(
    table: pd.DataFrame,  # results, or a summary
) -> str:
    """Return the table as Markdown; numbers have four significant digits, and what is missing is a dash."""
    rows = [list(table.columns), ["---"] * table.shape[1], *keys(table, table.columns)]
    return "\n".join("| " + " | ".join(_shown(value) for value in row) + " |" for row in rows) + "\n"


def _shown(value) -> str:
    value = cell(value)
    text = "–" if value is None else number_text(value) if isinstance(value, (int, float)) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def to_csv(table: pd.DataFrame) -> str:
    """Return the table as CSV with a header; numbers read back exactly, and what is missing is empty."""
    return table.to_csv(index=False, lineterminator="\n")


def to_json(table: pd.DataFrame) -> str:
    """Return the rows as a JSON list of objects; what is missing is null, and infinite numbers are "inf" and "-inf"."""
    rows = keys(table, table.columns)
    return strict_json([dict(zip(table.columns, row, strict=True)) for row in rows]) + "\n"

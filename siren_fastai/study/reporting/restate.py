"""Kept results under today's titles and claims: only words may have changed, not what was run."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from siren_fastai.study.reporting.kept import PARTS, KeptStudy, common_settings, named_columns, read_kept, write_kept
from siren_fastai.study.study import Study
from siren_fastai.study.table import cell, check_columns, column, keys

__all__ = ["changed_settings", "restate"]


def restate(
    path: str | Path,  # of a file that `keep_study` wrote
    study: Study,  # of that name and protocol
) -> Path:
    """Give a kept study the title, claims and figures that `study` has now; its results stay as they are.

    Raises: ValueError if the study has other axes or values now, or its claims name columns that weren't kept.
    """
    kept = read_kept(path)
    ran, now = ({_place(axes) for axes in all_axes} for all_axes in (_axes(kept.table), _combined(study)))
    if not ran <= now:
        raise ValueError(f"{path}: the study has other combinations now, run it again; {sorted(ran - now)[0]} has gone")
    if changed := changed_settings(kept, study):
        raise ValueError(f"{path}: the study has other settings now, run it again; {', '.join(changed)} changed")
    description = {name: getattr(study, name) for name in PARTS}
    check_columns(kept.table, named_columns(description))
    columns = {name: column(kept.table, name) for name in kept.table}
    return write_kept(KeptStudy(description, kept.about, kept.settings, kept.table), columns, Path(path))


def changed_settings(kept: KeptStudy, study: Study) -> list[str]:
    """Return the settings of all experiments that `study` asks for now and that the kept ones did not have."""
    asked = common_settings([item.settings for item in study.combinations if item.refused is None])
    return [name for name, value in asked.items() if name in kept.settings and kept.settings[name] != value]


def _axes(table: pd.DataFrame) -> list[dict]:
    names = table.attrs["axes"]
    return [dict(zip(names, values, strict=True)) for values in keys(table, names)]


def _combined(study: Study) -> list[dict]:
    return [item.axes for item in study.combinations if item.refused is None]


def _place(axes: Mapping) -> str:
    return ", ".join(f"{name}={cell(axes[name])}" for name in sorted(axes))

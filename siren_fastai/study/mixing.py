"""Results that one table should not hold: made with different settings although no axis says so."""

from collections.abc import Collection, Mapping, Sequence

from siren_fastai.study.experiment import Plain
from siren_fastai.study.table import SEED, cell, in_order

__all__ = ["mixed_settings", "mixed_text"]


def mixed_settings(
    rows: Sequence[Mapping],  # with "axes" and "settings", as `settings.json` has them
    derived: Collection[str] | None = None,  # settings that follow from the axes; None: that is not known
) -> dict[str, list[Plain]]:
    """Return the settings that are no axis and differ between rows that should agree in them, each with its values.

    All rows should agree in the settings that aren't `derived`. If it is not known which are, those rows should agree
    that differ in the seed alone. A setting that an older row lacks had its default and says nothing.
    """
    axes = {name for row in rows for name in row["axes"]}
    found: dict[tuple, dict[str, set]] = {}
    for row in rows:
        group = () if derived is not None else tuple((name, cell(row["axes"][name])) for name in sorted(row["axes"]))
        seen = found.setdefault(tuple(part for part in group if part[0] != SEED), {})
        for name, value in row["settings"].items():
            if name not in axes and name not in (derived or ()):
                seen.setdefault(name, set()).add(cell(value))
    mixed: dict[str, set] = {}
    for seen in found.values():
        for name, values in seen.items():
            if len(values) > 1:
                mixed.setdefault(name, set()).update(values)
    return {name: in_order(values) for name, values in mixed.items()}


def mixed_text(mixed: Mapping[str, Sequence[Plain]]) -> str:
    """Return the words for what `mixed_settings` found: "epochs (5, 100)"."""
    return ", ".join(f"{name} ({', '.join(map(str, values))})" for name, values in mixed.items())

"""A figure of a study as data: what it shows, checked before anything runs.

A figure is described as in a study's file, for instance `{kind: curves, x: steps, y: psnr, group: mult}`:

- `kind`: "curves" of the histories, or "points" or "bars" of the results
- `x`: what the curves run over; for points and bars the column with a line for each of its values
- `y`: the measure, a column of the histories or of the results
- `group`: the column with a colour for each of its values (optional; for points and bars it can stand for `x`)
- `panel`: the column with a panel for each of its values, such as `image` (optional)
- `retuned`: the axis of which each group takes the value with the best median, such as `lr` (optional)
- `where`: columns and the value that rows must have (optional)
- `title`: above the panels (optional)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from siren_fastai.study.experiment import Plain

__all__ = ["FigureSpec", "read_figure"]

KINDS = ("curves", "points", "bars")


@dataclass(frozen=True)
class FigureSpec:
    """What a figure shows, see the module."""

    kind: str
    y: str
    x: str | None = None
    group: str | None = None
    panel: str | None = None
    retuned: str | None = None
    where: Mapping[str, Plain] = field(default_factory=dict)
    title: str | None = None


def read_figure(
    spec: FigureSpec | Mapping[str, Plain],  # the keys of `FigureSpec`
) -> FigureSpec:
    """Return the description with its values checked.

    Raises: ValueError that names the key, for missing or unknown keys and for values that make no sense.
    """
    if isinstance(spec, FigureSpec):
        return spec
    known = [one.name for one in fields(FigureSpec)]
    if not isinstance(spec, Mapping) or any(key not in known for key in spec):
        raise ValueError(f"a figure has the keys {', '.join(known)}, got {spec!r:.100}")
    if spec.get("kind") not in KINDS:
        raise ValueError(f"a figure's `kind` must be one of {', '.join(KINDS)}, got {spec.get('kind')!r}")
    if not spec.get("y") or not (spec.get("x") or (spec["kind"] != "curves" and spec.get("group"))):
        raise ValueError(f"a figure of {spec['kind']} needs `x` and `y`, got {spec!r:.100}")
    if not isinstance(spec.get("where", {}), Mapping):
        raise ValueError(f"a figure's `where` must name columns and values, got {spec['where']!r:.60}")
    if wrong := [key for key, value in spec.items() if key != "where" and not isinstance(value, str | None)]:
        raise ValueError(f"a figure's `{wrong[0]}` must be text, got {spec[wrong[0]]!r:.60}")
    return FigureSpec(**spec)

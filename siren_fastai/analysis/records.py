"""`MetricHistory`'s table on disk: one row per epoch with the metrics after it, as CSV or as a JSON list of objects."""

import json
import math
from pathlib import Path

__all__ = ["LOSSES", "PROGRESS", "RECORD_COLUMNS", "are_records", "read_records"]

PROGRESS = ("opt_steps", "samples_seen", "train_seconds")  # all three cumulative
RECORD_COLUMNS = ("epoch", "fit", *PROGRESS, "seconds", "lr")  # before the losses and metrics
LOSSES = ("valid_loss", "train_loss")  # the first that exists is the MSE: fastai smooths train_loss over the whole fit


def are_records(
    lines: list[str],  # of a text file
) -> bool:
    """Whether the text is `MetricHistory`'s: JSON, or CSV whose header names an epoch and a loss."""
    head = next((line.strip() for line in lines if line.strip()), "")
    names = head.split(",")
    return head.startswith("[") or ("epoch" in names and any(name in names for name in LOSSES))


def read_records(path: Path, lines: list[str]) -> list[tuple[int, dict[str, float]]]:
    """Return `(line or row number, {column: value})` of each epoch; what was not measured is nan.

    Raises: ValueError with file and line for text of another form.
    """
    is_json = lines[0].lstrip().startswith("[")
    rows = list(enumerate(_json_rows(path, lines), 1)) if is_json else _csv_rows(path, lines)
    if not rows:
        raise ValueError(f"{path}: no epochs; expected one row for each")
    return [(number, {name: _number(path, number, value) for name, value in row.items()}) for number, row in rows]


def _json_rows(path: Path, lines: list[str]) -> list[dict]:
    try:
        rows = json.loads("\n".join(lines))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON list of epochs ({error})") from None
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: expected a JSON list with an object for each epoch")
    return rows


def _csv_rows(path: Path, lines: list[str]) -> list[tuple[int, dict]]:
    (_, head), *rows = [(number, line.strip().split(",")) for number, line in enumerate(lines, 1) if line.strip()]
    for number, words in rows:
        if len(words) != len(head):
            raise ValueError(
                f"{path}, line {number}: expected {len(head)} columns, got {len(words)}; was it truncated?"
            )
    return [(number, dict(zip(head, words, strict=True))) for number, words in rows]


def _number(path: Path, number: int, value) -> float:
    try:
        return math.nan if value in ("", None) else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{path}, line {number}: expected numbers, got {value!r:.80}") from None

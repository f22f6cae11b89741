"""What a fit's history and leading digits say, as one object: JSON for programs, Markdown for people.

Source: the note, which is the report of 2020 in franec94/My-Siren-Deep-Learning-Test.
"""

from dataclasses import dataclass

import pandas as pd

from siren_fastai.analysis.benford import BenfordComparison
from siren_fastai.analysis.history import METRICS, describe, extremes
from siren_fastai.files import strict_json
from siren_fastai.names import METRIC_CONVENTIONS
from siren_fastai.quality import convert_mse, psnr_from_mse

__all__ = ["NOTE_ON_BENFORD", "Report"]

NOTE_ON_BENFORD = (
    'Note 003 concludes that training shifts the digits to 2, "[20, 30) and [200, 255]". That is an artefact: its '
    '"predicted image" is a screenshot of a figure (640x480 RGBA, false colours, axes, grid lines), whose alpha is 255 '
    "in every pixel and of whose pixels 56.6 % are white; so 67.4 % of its values are 255, and 68.9 % lead with 2 "
    "(57.7 % in the gray screenshot). It was also compared with the original before resizing. "
    "Here the network's raw pixels are compared with its own resized target, of equal shape. Pixels of 8 bits need not "
    "follow Benford's law: they span less than three decades, and 100-199 and 200-255 swell the digits 1 and 2."
)
_SHIFT = 0.10  # the share that digit 2 must gain before the note's shift counts as seen; the note's own was 0.57


@dataclass(frozen=True)
class Report:
    """The analysis of one fit; either part may be missing.

    `convention` says how `history` was measured: "standard" on [0, 1] data, "note" on [-1, 1] data with a range of 1,
    as the note did; then the report adds the values in standard units.
    Raises: ValueError for an unknown convention, or if there is nothing to report.
    """

    history: pd.DataFrame | None = None
    benford: BenfordComparison | None = None
    convention: str = "standard"
    title: str = "Analysis of a fit"

    def __post_init__(self):
        if self.convention not in METRIC_CONVENTIONS:
            raise ValueError(f"`convention` must be one of {', '.join(METRIC_CONVENTIONS)}, got {self.convention!r}")
        if self.history is None and self.benford is None:
            raise ValueError("nothing to report: give `history`, `benford`, or both")

    def to_dict(self) -> dict:
        """Return everything in the report, as plain values (numbers may be inf or nan)."""
        parts = {"title": self.title}
        if self.history is not None:
            parts["history"] = self._history()
        if self.benford is not None:
            parts["benford"] = self._benford()
        return parts

    def to_json(self) -> str:
        """Return `to_dict` as strict JSON; numbers that JSON lacks become the strings "inf", "-inf" and "nan"."""
        return strict_json(self.to_dict())

    def to_markdown(self) -> str:
        """Return the report as Markdown text, ending in a line feed."""
        lines = [f"# {self.title}", ""]
        if self.history is not None:
            lines += self._history_lines()
        if self.benford is not None:
            lines += self._benford_lines()
        return "\n".join(lines)

    def _history(self) -> dict:
        final = self.history.iloc[-1]
        part = {
            "convention": self.convention,
            "epochs": len(self.history),
            "final": {"Epoch": int(final["Epoch"]), **{column: float(final[column]) for column in METRICS}},
            "head": self.history.head(5).to_dict("records"),
            "describe": describe(self.history).to_dict(),
            "extremes": {
                column: {label: {"Epoch": e, "value": v} for label, (e, v) in extremes(self.history, column).items()}
                for column in METRICS
            },
        }
        if self.convention == "note":
            mse = convert_mse(float(final[METRICS[0]]), "symmetric", "unit")
            part["final_standard"] = {"mse": mse, "psnr": psnr_from_mse(mse)}
        return part

    def _benford(self) -> dict:
        pair = {"ground_truth": self.benford.ground_truth, "prediction": self.benford.prediction}
        return {
            "counts": {name: list(digits.counts) for name, digits in pair.items()},
            "zeros": {name: digits.zeros for name, digits in pair.items()},
            "table": self.benford.table().to_dict("records"),
            "deviations": self.benford.deviations().to_dict("index"),
            "digit_2_shift": self._shift(),
            "note_shift_reproduced": self._shift() > _SHIFT,
            "note": NOTE_ON_BENFORD,
        }

    def _shift(self) -> float:
        return float(self.benford.prediction.probabilities[1] - self.benford.ground_truth.probabilities[1])

    def _history_lines(self) -> list[str]:
        part = self._history()
        final, first = part["final"], self.history.iloc[0]
        lines = ["## History", "", f"{part['epochs']} epochs; each row was measured before its epoch's update.", ""]
        lines += [f"- {c}: {first[c]:.6g} at first, {final[c]:.6g} at last" for c in METRICS]
        if self.convention == "note":
            mse, psnr = part["final_standard"].values()
            lines += [
                f"- in standard units ([0, 1] data, range 1) the last MSE is {mse:.6g}, the PSNR {psnr:.2f} dB: the "
                "recorded PSNR is of [-1, 1] data with range 1, 6.02 dB too low; the recorded SSIM cannot be converted"
            ]
        lines += ["", "First rows:", "", *_markdown(self.history.head(5)), ""]
        return [*lines, "Summary:", "", *_markdown(describe(self.history).reset_index(names="")), ""]

    def _benford_lines(self) -> list[str]:
        zeros = self.benford.ground_truth.zeros, self.benford.prediction.zeros
        percent = self.benford.table().set_index("digit").mul(100).round(2).reset_index()
        verdict = "reproduced" if self._shift() > _SHIFT else "not reproduced"
        return [
            "## Leading digits (Benford's law)",
            "",
            "Shares in percent of the values above 0 "
            f"(zeros have no leading digit and are left out: {zeros[0]} in the ground truth, {zeros[1]} predicted).",
            "",
            *_markdown(percent),
            "",
            "Deviations (mad, ks: shares; chi2: 8 degrees of freedom; kl: nats):",
            "",
            *_markdown(self.benford.deviations().reset_index(names="")),
            "",
            f"The note's shift to digit 2: **{verdict}**. Its share changes by {100 * self._shift():+.2f} percentage "
            f"points from ground truth to prediction (a shift counts from {100 * _SHIFT:.0f}; the note's was 57).",
            "",
            NOTE_ON_BENFORD,
            "",
        ]


def _markdown(table: pd.DataFrame) -> list[str]:
    def cell(value) -> str:
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    rows = [[cell(value) for value in row] for row in table.astype(object).itertuples(index=False)]
    marks = ["---"] * len(table.columns)
    return ["| " + " | ".join(row) + " |" for row in [[str(c) for c in table.columns], marks, *rows]]

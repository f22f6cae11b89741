"""The page docs/studies.md: every claim of the studies that were run, its numbers and its verdict.

`python -m siren_fastai.study.report docs/studies.md` writes it from benchmarks/results/studies/*.json. With
`--keep FOLDER ...` it first keeps what `siren-fastai study run` left in those folders, the figures in docs/studies/.
With `--restate` it first takes titles and claims from the studies as they are now, for claims that were worded anew.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from siren_fastai.files import replacing
from siren_fastai.study.judging.claims import Claim, read_claim
from siren_fastai.study.judging.evidence import in_words
from siren_fastai.study.judging.retuning import best_values, take_best
from siren_fastai.study.reporting.kept import KeptStudy, keep_study, read_kept
from siren_fastai.study.reporting.restate import restate
from siren_fastai.study.results import summary, to_markdown, wide
from siren_fastai.study.study import load_study
from siren_fastai.study.table import SEED, column, in_order, keys
from siren_fastai.study.verdicts import RULE, Verdict, verdict

__all__ = ["main", "page", "read_all"]

MAX_ROWS = 48  # of a study's table on the page
INTRO = """\
# Studies

What the source notes claim, measured: on several images where a claim is about images in general, with at least three
random seeds, and with each side's own learning rate where the note chose one for each run. Most of the notes' numbers
are of one run with one seed. Not reproduced is as good a result as reproduced.

`siren-fastai study list` names the studies, and `siren-fastai study run NAME` repeats one. The numbers are those of the
protocol that each study states; `--full` is closer to the note's own and takes hours or days.
`siren-fastai study results FOLDER` prints the verdicts of your own run. This page is written by
`python -m siren_fastai.study.report docs/studies.md` from `benchmarks/results/studies/`.

## How a claim is judged
"""
READING = """\
Numbers are medians, then minimum and maximum, over all pairs; an effect of ∞ is a level that only one side reached,
or a fit without error."""


def read_all(
    results: str | Path,  # the folder of NAME.json
) -> list[KeptStudy]:
    """Return the studies that were kept, by name. Raises: ValueError for a file that isn't one."""
    return [read_kept(path) for path in sorted(Path(results).glob("*.json"))]


def page(
    studies: Sequence[KeptStudy],
    pictures: Sequence[str] = (),  # the paths of NAME-1.png and so on, as the page links to them
) -> str:
    """Return the page as Markdown; every verdict is computed from the studies' tables."""
    judged = [
        (study, [(read_claim(claim), verdict(claim, study.table)) for claim in study.study["claims"]])
        for study in studies
    ]
    lines = [INTRO, RULE, "", "## All claims", "", READING, "", "| study | claim | measured | verdict |"]
    lines += ["| --- | --- | --- | --- |"]
    for study, claims in judged:
        for claim, found in claims:
            cells = f"[{study.name}](#{study.name})", claim.says, in_words(claim, found.numbers), f"**{found.word}**"
            lines.append("| " + " | ".join(" ".join(text.split()).replace("|", "\\|") for text in cells) + " |")
    for study, claims in judged:
        lines += ["", *_section(study, [found for _, found in claims], pictures)]
    return "\n".join(lines) + "\n"


def _section(study: KeptStudy, verdicts: Sequence[Verdict], pictures: Sequence[str]) -> list[str]:
    told = study.study
    protocol = "full" if told["full"] else "reduced"
    lines = [f"## {study.name}", "", f"{told['title']}. Source: {told['source']}.", ""]
    lines += [f"Protocol ({protocol}): {told['protocol'].get(protocol, 'as in its file')}", ""]
    lines += [", ".join(f"{name} {value}" for name, value in study.about.items()) + ".", ""]
    for claim, found in zip(told["claims"], verdicts, strict=True):
        lines.append(f"- *{' '.join(claim['says'].split())}* {found.sentence}")
    own = re.compile(rf"(.*/)?{re.escape(study.name)}-\d+\.png")
    for path in filter(own.fullmatch, pictures):
        lines += ["", f"![{told['title']}]({path})"]
    return [*lines, *_table(study)]


def _table(study: KeptStudy) -> list[str]:
    """Medians and ranges for each combination of the axes, each at its best value of what the claims tune anew.

    Seeds make the ranges; so do images, where the combinations are many.
    """
    table, claims = study.table, [read_claim(claim) for claim in study.study["claims"]]
    tuned = {claim.retuned for claim in claims} - {None}
    varied = [name for name in table.attrs["axes"] if len(set(column(table, name))) > 1]
    by = [name for name in varied if name not in tuned | {SEED}]
    if len(set(keys(table, by))) > MAX_ROWS:
        by = [name for name in by if name != "image"]
    measures = {claim.measure: claim for claim in claims}
    if not measures or not by or len(set(keys(table, by))) > MAX_ROWS:
        return []
    shown = wide(pd.concat([_at_best(table, claim, by) for claim in measures.values()], ignore_index=True))
    for name in reversed(by):
        order = {value: place for place, value in enumerate(in_order(column(shown, name)))}
        shown = shown.iloc[sorted(range(len(shown)), key=[order[value] for value in column(shown, name)].__getitem__)]
    return ["", to_markdown(shown).rstrip()]


def _at_best(table: pd.DataFrame, claim: Claim, by: list[str]) -> pd.DataFrame:
    """The summary of the claim's measure, at the best value of its retuned axis in each group and image."""
    if claim.retuned is not None:
        groups = [*by, *(["image"] if "image" in table and "image" not in by else [])]
        best = best_values(table, claim.retuned, claim.measure, claim.better, groups)
        table = take_best(table, claim.retuned, best, groups)
    return summary(table, by, {claim.measure: claim.better})


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; with `--keep`, the results of these folders first."""
    parser = argparse.ArgumentParser(prog="python -m siren_fastai.study.report", description=__doc__)
    parser.add_argument("page", type=Path, help="the Markdown file to write")
    parser.add_argument("--results", type=Path, help="folder of the JSON files (default: benchmarks/results/studies)")
    parser.add_argument(
        "--keep", type=Path, nargs="+", default=[], metavar="FOLDER", help="folders of finished studies"
    )
    parser.add_argument("--restate", action="store_true", help="take titles and claims from today's studies")
    chosen = parser.parse_args(arguments)
    results = chosen.results or chosen.page.absolute().parent.parent / "benchmarks" / "results" / "studies"
    pictures = chosen.page.parent / chosen.page.stem
    for folder in chosen.keep:
        print(keep_study(folder, results, pictures))
    if chosen.restate:
        for path in sorted(results.glob("*.json")):
            kept = read_kept(path)
            restate(path, load_study(kept.study["name"], full=kept.study["full"]))
    text = page(read_all(results), [f"{pictures.name}/{path.name}" for path in sorted(pictures.glob("*.png"))])
    with replacing(chosen.page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(chosen.page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

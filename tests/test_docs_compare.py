"""The feature table of docs/compare.md: our files exist and hold what is named, and the others' links are fixed."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "compare.md").read_text()
ROWS = [
    line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and "| feature |" not in line
]
OURS = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", PAGE)
OTHERS = dict(re.findall(r"^\[(\w+)\]: (\S+)$", PAGE, flags=re.M))
PROJECTS = ("vsitzmann/siren", "lucidrains/siren-pytorch", "scart97/Siren-fastai2")


@pytest.mark.parametrize(("text", "target"), OURS)
def test_our_file_exists_and_holds_what_is_named(text, target):
    path = (DOCS / target).resolve()
    assert path.is_file()
    if text.startswith("`") and path.suffix == ".py" and "siren-fastai" not in text:
        assert text.strip("`-") in path.read_text()


def test_every_row_says_something_of_all_four_and_links_what_it_says_of_us():
    assert len(ROWS) > 30
    for row in ROWS:
        assert len(row) == 5 and all(row), row
        assert row[1] == "no" or "](" in row[1], row
        assert all(cell == "no" or re.search(r"\]\[\w+\]", cell) for cell in row[2:]), row


def test_links_to_the_others_lead_to_one_commit_each():
    commits = {
        re.match(r"https://github\.com/([^/]+/[^/]+)/(?:blob|tree)/([0-9a-f]{40})\b", url).groups()
        for url in OTHERS.values()
    }
    assert sorted(project for project, _ in commits) == sorted(PROJECTS)
    assert all("/tree/" in url or re.search(r"#L\d+$", url) for url in OTHERS.values())


def test_every_link_is_defined_and_used():
    assert set(re.findall(r"\]\[(\w+)\]", PAGE)) == set(OTHERS)

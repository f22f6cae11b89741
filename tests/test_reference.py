"""The pages of the API reference: they have every public name, its parameters' comments, and Markdown that is meant."""

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the documentation needs `pip install -e '.[docs]'`")
sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

import reference  # noqa: E402  (it lies in docs/, which the line above makes importable)

import siren_fastai.all as public  # noqa: E402


def example(
    size: int,  # samples per axis
    *sizes,
    convert=len,
) -> list[int]:  # as many as asked for
    """Return `size` for each of (*sizes, c).

    sizes: further sizes,
        in any order.
    size: at least 1.
    convert: decides
    what a size is.
    Raises: ValueError for none,
    or for 'a.*' and 'b.*'.
    """


@pytest.fixture(scope="module")
def pages():
    return reference.pages()


def test_every_public_name_of_ours_is_listed_and_described(pages):
    described = {name for name in public.__all__ if re.search(rf"{{py:\w+}} {name}\b", "".join(pages.values()))}
    theirs = {name for name in public.__all__ if reference.home(name) is None}
    assert theirs == {"Learner", "load_learner", "ranger", "set_seed"}
    assert described == set(public.__all__) - theirs
    assert all(f"`{name} <siren_fastai." in pages["index.md"] for name in described)


def test_the_commands_are_not_part_of_the_reference(pages):
    assert "cli.md" not in pages and not any("siren_fastai.cli" in text for text in pages.values())


def test_parameters_show_their_comment_and_what_the_docstring_adds():
    text = reference.described(example)
    assert (
        ":Parameters:\n    - `size`: samples per axis; at least 1.\n    - `sizes`: further sizes, in any order.\n"
        in text
    )
    assert ":Returns: as many as asked for\n" in text
    assert "\nconvert: decides\nwhat a size is.\n" in text  # no indented line: a sentence, not an entry


def test_labels_hold_all_that_follows_and_stars_are_not_emphasis():
    text = reference.described(example)
    assert ":Raises: ValueError for none, or for 'a.\\*' and 'b.\\*'.\n" in text
    assert "Return `size` for each of (\\*sizes, c)." in text


def test_emphasis_stays_emphasis_and_code_stays_code():
    text = "**`a=None` adapts** to `*b`, and *is* 2 * 3."
    assert reference.escape_stars(text) == text.replace("2 * 3", "2 \\* 3")


def test_signatures_show_functions_by_name():
    assert reference.signature(example) == "(size: int, *sizes, convert=len) -> list[int]"


def test_pages_are_written_once_and_old_ones_deleted(tmp_path):
    reference.write(tmp_path)
    (tmp_path / "gone.md").write_text("of a module that was deleted")
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.md")}
    reference.write(tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.md")}
    assert after == {name: time for name, time in before.items() if name != "gone.md"}

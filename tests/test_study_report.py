"""What is kept of a study, and the page of all claims that is written from it."""

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import siren_fastai
from siren_fastai.files import write_json
from siren_fastai.study.matrix import Combination
from siren_fastai.study.report import main, page, read_all
from siren_fastai.study.reporting.kept import KeptStudy, keep_study, read_kept
from siren_fastai.study.reporting.restate import changed_settings, restate
from siren_fastai.study.results import read_results
from siren_fastai.study.study import Study, load_study, study_names
from siren_fastai.study.verdicts import RULE, verdict

ROOT = Path(siren_fastai.__file__).parent.parent
STORED = sorted((ROOT / "benchmarks/results/studies").glob("*.json"))
CLAIM = {"says": "Wide | wins.", "measure": "psnr", "better": "higher", "first": {"mult": 2}, "than": {"mult": 1}}
STUDY = {
    **dict(name="width", title="Width scaling", source="a note", full=False, experiment="fit"),
    **dict(protocol={"reduced": "8x8 pixels.", "full": "256x256 pixels."}),
    "claims": [CLAIM, CLAIM | {"says": "Sooner.", "measure": "steps_to_30", "better": "lower"}],
    "figures": [{"kind": "curves", "x": "steps", "y": "psnr", "group": "mult"}],
}


@pytest.fixture
def folder(tmp_path):
    """A finished study: mult 1 and 2, three seeds."""
    for number, (mult, seed) in enumerate([(m, s) for m in (1, 2) for s in (0, 1, 2)]):
        path = tmp_path / "width" / f"mult-{mult}-seed-{seed}"
        path.mkdir(parents=True)
        axes = {"mult": mult, "seed": seed}
        write_json({"number": number, "axes": axes, "settings": axes | {"lr": 0.1}}, path / "settings.json")
        steps = 100 if mult == 2 else None
        write_json({"psnr": 30 + mult + seed / 3, "steps_to_30": steps, "ssim": 0.9}, path / "result.json")
        pd.DataFrame({"steps": [1, 2], "psnr": [20, 30 + mult]}).to_csv(path / "history.csv", index=False)
    write_json(STUDY, tmp_path / "width" / "study.json")
    return tmp_path / "width"


def test_what_is_kept_gives_the_verdicts_of_the_whole_results(folder, tmp_path):
    kept = read_kept(keep_study(folder, tmp_path / "kept"))
    assert set(kept.table) == {"mult", "seed", "psnr", "steps_to_30"} and len(kept.table) == 6
    whole = read_results(folder)
    for claim in STUDY["claims"]:
        ours, theirs = verdict(claim, kept.table), verdict(claim, whole)
        assert (ours.word, ours.sentence) == (theirs.word, theirs.sentence) == ("reproduced", theirs.sentence)


def test_the_picture_is_small_and_named_as_the_study(folder, tmp_path):
    keep_study(folder, tmp_path / "kept", tmp_path / "pictures")
    (path,) = (tmp_path / "pictures").iterdir()
    assert path.name == "width-1.png" and path.stat().st_size < 40_000
    with Image.open(path) as image:
        assert min(image.size) > 200


def test_the_full_protocol_has_a_name_of_its_own(folder, tmp_path):
    write_json(STUDY | {"full": True}, folder / "study.json")
    assert keep_study(folder, tmp_path / "kept").name == "width-full.json"


def test_the_page_has_the_rule_the_claims_and_their_numbers(folder, tmp_path):
    keep_study(folder, tmp_path / "kept")
    text = page(read_all(tmp_path / "kept"))
    assert RULE in text and "Protocol (reduced): 8x8 pixels." in text and "Source: a note" in text
    assert (
        "| [width](#width) | Wide \\| wins. | psnr 32.33 (32 to 32.67) against 31.33 (31 to 31.67); "
        "difference 1 in 3 pairs, 3 seeds. | **reproduced** |"
    ) in text
    assert "steps_to_30 100 against not reached; difference ∞ in 3 pairs, 3 seeds." in text
    assert "| 2 | 32.33 (32 to 32.67) | 100 | 3 |" in text


def test_the_command_keeps_and_writes_the_page(folder, tmp_path, capsys):
    (tmp_path / "docs").mkdir()
    assert main([str(tmp_path / "docs/studies.md"), "--keep", str(folder)]) == 0
    assert (tmp_path / "benchmarks/results/studies/width.json").is_file()
    text = (tmp_path / "docs/studies.md").read_text()
    assert "![Width scaling](studies/width-1.png)" in text and (tmp_path / "docs/studies/width-1.png").is_file()
    assert main([str(tmp_path / "docs/studies.md")]) == 0 and (tmp_path / "docs/studies.md").read_text() == text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"study": 3}', '{"columns": 3, "axes": []}'])
def test_a_file_that_was_not_kept_is_an_error_with_its_name(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match="x.json: not the results of a study"):
        read_all(tmp_path)


def test_a_folder_that_is_no_study_or_has_no_results_is_an_error(folder, tmp_path):
    with pytest.raises(ValueError, match="it has no study.json"):
        keep_study(tmp_path, tmp_path / "kept")
    (tmp_path / "empty").mkdir()
    write_json(STUDY, tmp_path / "empty/study.json")
    with pytest.raises(ValueError, match="has no finished experiment"):
        keep_study(tmp_path / "empty", tmp_path / "kept")
    (tmp_path / "empty/study.json").write_text("3")
    with pytest.raises(ValueError, match="not the description of a study"):
        keep_study(tmp_path / "empty", tmp_path / "kept")


def test_kept_numbers_have_six_digits_and_what_is_missing_stays_missing(folder, tmp_path):
    kept = json.loads(keep_study(folder, tmp_path / "kept").read_text())
    assert kept["columns"]["psnr"][1] == 31.3333 and kept["columns"]["steps_to_30"][0] is None
    assert math.isnan(read_kept(tmp_path / "kept/width.json").table["steps_to_30"][0])


def test_an_infinite_psnr_is_kept_as_a_number(folder, tmp_path):
    path = sorted(folder.glob("*/result.json"))[0]
    write_json(json.loads(path.read_text()) | {"psnr": math.inf}, path)
    kept = read_kept(keep_study(folder, tmp_path / "kept"))
    assert kept.table["psnr"].tolist().count(math.inf) == 1 and kept.table["psnr"].dtype == float
    restated = read_kept(restate(tmp_path / "kept/width.json", stated()))
    pd.testing.assert_frame_equal(restated.table, kept.table)
    assert "∞" in page([kept])


def test_the_page_in_docs_is_what_the_command_writes():
    text = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
    pictures = [f"studies/{path.name}" for path in sorted((ROOT / "docs/studies").glob("*.png"))]
    assert text == page(read_all(ROOT / "benchmarks/results/studies"), pictures), (
        "run `python -m siren_fastai.study.report docs/studies.md`"
    )


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_what_was_kept_is_the_study_as_it_is_now(path):
    kept = read_kept(path)
    assert kept.study["name"] in study_names()
    study = load_study(kept.study["name"], full=kept.study["full"])
    for name in ("title", "source", "protocol", "claims", "figures"):
        assert kept.study[name] == getattr(study, name), (
            f"{name} has changed since: run the study anew, or keep it anew"
        )
    axes = {tuple(item.axes) for item in study.combinations}
    assert axes == {tuple(kept.table.attrs["axes"])} and not changed_settings(kept, study)


def test_the_pictures_of_all_studies_are_below_a_megabyte():
    assert sum(path.stat().st_size for path in (ROOT / "docs/studies").glob("*.png")) < 1_000_000


def test_the_table_of_a_study_is_at_the_best_rates():
    rows = [
        {
            "scheme": scheme,
            "image": image,
            "seed": seed,
            "lr": lr,
            "psnr": 30 + scheme + lr * (10 if scheme == 1 else -10),
        }
        for scheme in (1, 2)
        for image in ("a", "b")
        for seed in range(3)
        for lr in (0.1, 0.2)
    ]
    table = pd.DataFrame(rows)
    table.attrs["axes"] = ["scheme", "image", "seed", "lr"]
    claim = {
        "says": "2 is better.",
        "measure": "psnr",
        "better": "higher",
        "first": {"scheme": 2},
        "than": {"scheme": 1},
    }
    text = page([KeptStudy(STUDY | {"claims": [claim | {"retuned": "lr"}]}, {}, {}, table)])
    assert [line for line in text.splitlines() if line.startswith(("| 1 ", "| 2 "))] == [
        *("| 1 | a | 33 | 3 |", "| 1 | b | 33 | 3 |", "| 2 | a | 31 | 3 |", "| 2 | b | 31 | 3 |")
    ]


def stated(**changes):
    """The fixture's study as `load_study` returns it."""
    items = [Combination(i, "", {"mult": m, "seed": s}, {}) for i, (m, s) in enumerate(product((1, 2), range(3)))]
    return Study(**STUDY | {"combinations": items} | changes)


def test_claims_that_were_worded_anew_take_the_place_of_the_kept_ones(folder, tmp_path):
    path = keep_study(folder, tmp_path / "kept")
    before = read_kept(path)
    restate(path, stated(title="Wider", claims=[CLAIM | {"says": "Twice the width is better."}]))
    after = read_kept(path)
    assert after.study["title"] == "Wider" and after.study["claims"][0]["says"] == "Twice the width is better."
    pd.testing.assert_frame_equal(after.table, before.table)
    assert after.about == before.about


def test_a_study_that_is_another_one_now_cannot_be_restated(folder, tmp_path):
    path = keep_study(folder, tmp_path / "kept")
    with pytest.raises(ValueError, match="other combinations now, run it again; mult=2, seed=2 has gone"):
        restate(path, stated(combinations=stated().combinations[:-1]))
    items = [replace(item, settings={"mult": item.axes["mult"], "lr": 0.2}) for item in stated().combinations]
    with pytest.raises(ValueError, match="other settings now, run it again; lr changed"):
        restate(path, stated(combinations=items))
    with pytest.raises(ValueError, match="no column 'ssim'"):
        restate(path, stated(claims=[CLAIM | {"measure": "ssim"}]))

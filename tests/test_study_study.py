"""Studies: built-in ones and files, what they extend, their full protocol, and values given for one run."""

import os
import re
from pathlib import Path

import pytest

from siren_fastai.study import matrix
from siren_fastai.study.experiment import Experiment
from siren_fastai.study.parsing import axes, document, expressions, extends, filters
from siren_fastai.study.registry import experiment_named
from siren_fastai.study.study import PRESETS, load_study, study_names

MINE = """
title: Is wider better?
source: a note
protocol: {reduced: "8x8, 2 steps", full: "16x16, 4 steps"}
experiment: mine
matrix:
  width: [4, 8]
  seed: [0, 1, 2]
steps: 2
size: 8
claims:
  - {says: Wider is better., measure: psnr, better: higher, first: {width: 8}, than: {width: 4}}
figures:
  - {kind: bars, y: psnr, group: width}
full:
  size: 16
  steps: 4
  matrix: {seed: [0, 1, 2, 3]}
  claims:
    - {says: Much wider is better., measure: psnr, better: higher, first: {width: 8}, than: {width: 4}}
"""


def check(settings):
    if settings["width"] > settings["size"]:
        raise ValueError(f"width {settings['width']} is beyond the size {settings['size']}")


EXPERIMENT = Experiment(
    "mine", lambda settings, folder: {}, {"width": 4, "seed": 0, "hidden": [], "note": None}, ("size", "steps"), check
)


@pytest.fixture
def load(tmp_path):
    def load(text=MINE, name="wider.yaml", **options):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return load_study(tmp_path / name, experiments={"mine": EXPERIMENT}, **options)

    return load


def test_a_study_says_what_its_file_says(load):
    study = load()
    assert (study.name, study.title, study.source, study.full) == ("wider", "Is wider better?", "a note", False)
    assert study.protocol == {"reduced": "8x8, 2 steps", "full": "16x16, 4 steps"}
    assert study.claims[0]["than"] == {"width": 4} and study.figures == [
        {"kind": "bars", "y": "psnr", "group": "width"}
    ]
    assert study.experiment == "mine" and len(study.combinations) == 6
    assert study.combinations[1].settings == {"width": 4, "seed": 1, "steps": 2, "size": 8}


def test_the_full_protocol_is_merged_over_the_rest(load):
    study = load(full=True)
    assert study.full and len(study.combinations) == 8 and study.claims[0]["says"] == "Much wider is better."
    assert study.combinations[-1].settings == {"width": 8, "seed": 3, "steps": 4, "size": 16}
    with pytest.raises(ValueError, match="full: expected what the full protocol changes"):
        load(MINE.partition("full:\n")[0], full=True)


def test_only_experiment_and_matrix_are_required(load):
    study = load("experiment: mine\nmatrix: {seed: [0]}\nsize: 8\nsteps: 1")
    assert (study.name, study.title, study.source, study.protocol, study.claims) == ("wider", "wider", "", {}, [])


@pytest.mark.parametrize(
    "text, message",
    [
        ("matrix: {seed: [0]}", "key `experiment` is missing"),
        ("experiment: mine", "matrix: expected axes"),
        ("experiment: none\nmatrix: {seed: [0]}", "line 1: experiment: there is no experiment 'none'"),
        ("experiment: [fit]\nmatrix: {seed: [0]}", "line 1: experiment: expected text"),
        ("experiment: ${seed}\nmatrix: {seed: [0]}", r"line 1: experiment: .* stands in settings only"),
        ("title: 3\nexperiment: mine\nmatrix: {seed: [0]}", "line 1: title: expected text, got 3"),
        ("claims: {}\nexperiment: mine\nmatrix: {seed: [0]}", "line 1: claims: expected a list of mappings"),
        ("claims:\n  - a\nexperiment: mine\nmatrix: {seed: [0]}", "line 1: claims: expected a list of mappings"),
        ("protocol: fast\nexperiment: mine\nmatrix: {seed: [0]}", "line 1: protocol: expected a mapping"),
        ("experiment: mine\nmatrix: {seed: [0]}\nsize: 8", "needs steps"),
        ("experiment: mine\nmatrix: {seed: [0]}\nsize: 8\nstep: 1", "line 4: step: .* no such setting"),
        (
            "experiment: mine\nmatrix: {width: [9, 10]}\nsize: 8\nsteps: 1",
            "no combination .*; width-9: width 9 is beyond",
        ),
    ],
)
def test_mistakes_are_reported_before_any_training(load, text, message):
    with pytest.raises(ValueError, match=rf"wider\.yaml.*{message}"):
        load(text)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("better: higher", "better: more", r"line 12: claims.0: the claim 'Wider is better.': `better` must be"),
        ("than: {width: 4}", "thn: {width: 4}", "line 12: claims.0: .* needs than"),
        ("than: {width: 4}", "than: {widht: 4}", "line 12: claims.0: 'widht' is neither an axis nor a setting"),
        ("than: {width: 4}", "than: {width: 4}, pair: [sead]", "claims.0: 'sead' is neither"),
        ("than: {width: 4}", "than: {width: 4}, retuned: lr", "claims.0: 'lr' is neither"),
        ("kind: bars", "kind: pie", "line 14: figures.0: a figure's `kind` must be one of"),
    ],
)
def test_claims_and_figures_are_checked_before_anything_runs(load, old, new, message):
    with pytest.raises(ValueError, match=message):
        load(MINE.replace(old, new, 1))


def test_refused_combinations_stay_with_their_reason(load):
    study = load(overrides=["width=[4,9]", "seed=0"])
    assert [c.refused for c in study.combinations] == [None, "width 9 is beyond the size 8"]


@pytest.mark.parametrize(
    "override, widths, changed",
    [
        (["steps=5"], [4, 8], {"steps": 5}),
        (["hidden=[256,128]"], [4, 8], {"hidden": [256, 128]}),
        (["note=a=b"], [4, 8], {"note": "a=b"}),
        (["note="], [4, 8], {"note": None}),
        (["note='3'"], [4, 8], {"note": "3"}),
        (["steps=2 * 3"], [4, 8], {"steps": 6}),
        (["width=[6]"], [6], {}),
        (["width=6"], [6], {}),
        (["width+=[6]"], [4, 8, 6], {}),
        (["width+=6", "steps=3"], [4, 8, 6], {"steps": 3}),
        (["matrix.width=[5, 6]"], [5, 6], {}),
        (["steps=${width}"], [4, 8], {"steps": 4}),
        ({"steps": 7, "width": (4,), "hidden": (2, 3)}, [4], {"steps": 7, "hidden": [2, 3]}),
    ],
)
def test_values_can_be_given_for_one_run(load, override, widths, changed):
    combinations = load(overrides=override).combinations
    assert list(dict.fromkeys(c.axes["width"] for c in combinations)) == widths
    assert combinations[0].settings == {"width": widths[0], "seed": 0, "steps": 2, "size": 8, **changed}


@pytest.mark.parametrize("text", ["hidden=[16,4]", "hidden=[[16,4]]", "matrix.hidden=[[16,4]]"])
def test_a_list_of_widths_is_one_value_of_an_axis_of_lists(load, text):
    axes = MINE.replace("width: [4, 8]", "hidden: [[256, 128], [8]]")
    assert {tuple(c.axes["hidden"]) for c in load(axes, overrides=[text]).combinations} == {(16, 4)}


def test_a_list_of_widths_can_be_added_to_an_axis_of_lists(load):
    axes = MINE.replace("width: [4, 8]", "hidden: [[256, 128], [8]]")
    found = load(axes, overrides=["hidden+=[16,4]"]).combinations
    assert list(dict.fromkeys(tuple(c.axes["hidden"]) for c in found)) == [(256, 128), (8,), (16, 4)]


@pytest.mark.parametrize(
    "overrides, message",
    [
        ("steps=3", "expected a list of key=value, got the text 'steps=3'"),
        (["steps"], "expected key=value, got 'steps'"),
        (["=3"], "expected key=value"),
        (["stepps=3"], "override stepps: stepps: the experiment 'mine' has no such setting"),
        (["width=[]"], "override width: matrix.width: the list is empty"),
        ([".".join("a" * 3000) + "=1"], r"override a\.a\..*: nested more than 20 deep"),
        (["steps+=3"], r"override steps\+=: steps is no list to add to, but 2"),
        (["steps=[1"], "override steps, line 1: not YAML"),
        (["steps=9**9**9"], "override steps, line 1: cannot evaluate"),
        (["steps=!!python/name:os.system"], "override steps, line 1: tags"),
        (["experiment=other"], "override experiment: experiment: there is no experiment 'other'"),
        ({"steps": object()}, "override steps: expected text, numbers, lists or mappings"),
    ],
)
def test_wrong_overrides_are_named(load, overrides, message):
    with pytest.raises(ValueError, match=message):
        load(overrides=overrides)


def test_a_study_extends_a_file_beside_it_or_a_built_in_study(load, tmp_path):
    (tmp_path / "wider.yaml").write_text(MINE)
    study = load("$extends: wider.yaml\ntitle: Mine\nmatrix: {width: [2]}", name="other.yml")
    assert (
        study.title == "Mine" and study.source == "a note" and [c.axes["width"] for c in study.combinations] == [2] * 3
    )


@pytest.mark.parametrize(
    "base", ["../secret.yaml", "/etc/passwd", "/etc/hosts.yaml", "sub/base.yaml", "~/x.yaml", "..", "."]
)
def test_a_base_is_in_the_same_folder_or_built_in(load, base):
    with pytest.raises(ValueError, match=r"other\.yaml, line 1: \$extends: "):
        load(f"$extends: {base}", name="other.yaml")


def test_a_base_that_is_not_there_is_named_with_the_line(load):
    with pytest.raises(ValueError, match=r"line 2: \$extends: .*none\.yaml"):
        load("title: x\n$extends: none.yaml")
    with pytest.raises(ValueError, match=r"line 1: \$extends: there is no study 'none'"):
        load("$extends: none")


def test_files_that_extend_each_other_are_refused(load, tmp_path):
    (tmp_path / "a.yaml").write_text("$extends: b.yaml")
    (tmp_path / "b.yaml").write_text("$extends: a.yaml")
    with pytest.raises(ValueError, match="circle"):
        load("$extends: b.yaml", name="a.yaml")


def test_a_missing_study_is_named_with_what_there_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no study 'no-such-study'"):
        load_study("no-such-study")
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        load_study(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"x: 1\ny: \xff\xfe", "line 2: not UTF-8"),
        (b"x: " + b"y" * 1_000_000, "at most 100,000 characters"),
        ("x: ü".encode("utf-16"), "line 1: not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "not UTF-8"),
        (b"", "the file is empty"),
    ],
)
def test_files_that_are_no_studies_are_refused(tmp_path, content, message):
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_study(tmp_path / "x.yaml")


def test_of_a_huge_file_only_the_beginning_is_read(tmp_path):
    path = tmp_path / "x.yaml"
    with open(path, "wb") as file:
        file.seek(10**11)  # sparse: 100 GB would not fit into memory
        file.write(b"\n")
    with pytest.raises(ValueError, match="at most 100,000 characters"):
        load_study(path)
    os.unlink(path)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "x.yaml").write_text("experiment: mine\nmatrix: {seed: [0]}\nsize: 8\nsteps: 1", encoding="utf-8-sig")
    assert load_study(tmp_path / "x.yaml", experiments={"mine": EXPERIMENT}).experiment == "mine"


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", study_names())
def test_every_built_in_study_can_be_loaded(name, full):
    study = load_study(name, full=full)
    assert study.title and study.source and study.claims and study.figures
    assert study.protocol.keys() == {"reduced", "full"} and study.full is full
    assert len({c.slug for c in study.combinations}) == len(study.combinations)
    impossible = ["rebuild 24 of 28 pixels"] if name == "002-tr1" else []  # the note's own
    reasons = {c.refused for c in study.combinations if c.refused}
    assert len(reasons) == len(impossible) and all(text in reasons.pop() for text in impossible)
    defaults = experiment_named(study.experiment).defaults
    rows = [{**defaults, **c.settings, **c.axes} for c in study.combinations]
    for claim in study.claims:
        for side in (claim["first"], claim["than"]):
            assert any(all(row[key] == value for key, value in side.items()) for row in rows), (claim["says"], side)


def test_the_built_in_studies_are_the_files_of_the_package():
    assert study_names() == sorted(path.name.removesuffix(".yaml") for path in PRESETS.glob("*"))


PAGE = (Path(__file__).parents[1] / "docs" / "matrix.md").read_text(encoding="utf-8")


def test_the_example_of_the_documentation_is_a_study(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)
    (tmp_path / "wider.yaml").write_text(example)
    study, full = (load_study(tmp_path / "wider.yaml", full=full) for full in (False, True))
    assert len(study.combinations) == 15 and study.combinations[-1].number == 15
    last = study.combinations[-1]
    assert last.slug == "width-64_lr-0.001_seed-2"
    assert last.settings | dict(size=32, hidden=[64, 64], steps=15, lr=0.001, seed=2) == last.settings
    assert max(c.settings["hidden"][0] for c in full.combinations) == 256


def test_the_limits_of_the_documentation_are_those_of_the_code():
    rows = dict(re.findall(r"^\| ([a-z][^|]*) \| (.*\d.*) \|$", PAGE.partition("## Limits")[2], flags=re.M))
    assert rows == {
        "a file": f"{document.MAX_CHARACTERS:,} characters",
        "nesting": f"{document.MAX_DEPTH} levels",
        "combinations before the filter": f"{axes.MAX_COMBINATIONS:,}",
        "settings of all combinations together": f"{matrix.MAX_WORK:,} characters",
        "arithmetic; a filter": f"{expressions.MAX_CHARACTERS}; {filters.MAX_CHARACTERS:,} characters",
        "a number": f"{expressions.MAX_INTEGER.bit_length() + 1} bits, finite",
        "a chain of `$extends`": f"{extends.MAX_BASES} files",
    }


@pytest.mark.parametrize("width", [16, 64])
def test_the_tables_of_the_documentation_say_what_values_mean(width, load):
    table = PAGE.partition("## Values\n")[2].partition("## Values for one run")[0]
    written = re.findall(r"^\| (`[^|]*`) \|", table, flags=re.M)
    texts = [text for row in written for text in re.findall(r"`([^`]+)`", row)]
    assert len(texts) > 20
    values = matrix.read_matrix(
        f"matrix: {{width: [{width}], seed: [0]}}\nvalues:\n"
        + "".join(f"  - {text}\n" for text in texts if text != ">")
    )[0].settings["values"]
    means = dict(zip([text for text in texts if text != ">"], values, strict=True))
    numbers = ("1_000_000", "28 * 28 // 10", "1/8", "2 ** 10", "${width}", "64_000 // ${width} ** 2")
    assert [means[text] for text in numbers] == [1_000_000, 78, 0.125, 1024, width, 64_000 // width**2]
    assert means["(1, 28, 28)"] == [1, 28, 28] and means["true"] is True and means["null"] is None
    for text in ("5-3", "2026-11-21", "64x64", "0,5", "007"):
        assert means[text] == text
    assert means['"28 * 28"'] == "28 * 28" and means["'1'"] == "1" and means['"${width} + 1"'] == f"{width} + 1"
    assert means["wide_${width}.png"] == f"wide_{width}.png" and means["${width}_${seed}"] == f"{width}_0"
    assert means["${matrix_id}"] == "1" and means["${matrix_slug}"] == f"width-{width}_seed-0"

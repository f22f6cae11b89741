"""The experiment matrix: what a study file says becomes the right experiments, and nothing in it is executed."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siren_fastai.models.tiling import check_tiling
from siren_fastai.study.experiment import Experiment
from siren_fastai.study.matrix import read_matrix
from siren_fastai.study.parsing import document

NOTE = r"""
matrix:
  opt: ["Adam"]
  lr: [0.001]
  patch: [4, 8]
  stride: [2, 4, 8]
  $filter: ${stride} <= ${patch}
  l: [2, 4, 8, 12, 16]
  head: [4, 8]
  hid: [64, 128, 256]

experiment_name: mnist/tr1_${matrix_slug}
trainer: autoencoder
globals:
  SHAPE: (1, 28, 28)
  CODE_SIZE: 28 * 28 // 10
batch_size: 64
learnrate: ${lr}
optimizer: ${opt}
scheduler: cosine
loss_function: l1
max_inputs: 1_000_000
model: {kind: transformer, patch_size: "${patch}", layers: ["${l}", "${head}"]}
run: ${matrix_id} of this
"""


def small(rest: str = "", axes: str = "a: [1, 2]") -> str:
    return f"matrix: {{{axes}}}\n{rest}"


def test_the_notes_matrix_has_150_of_180_combinations_in_the_order_of_its_keys():
    found = read_matrix(NOTE)
    every = itertools.product([4, 8], [2, 4, 8], [2, 4, 8, 12, 16], [4, 8], [64, 128, 256])
    wanted = [(n, *row) for n, row in enumerate(every, 1) if row[1] <= row[0]]
    names = ("patch", "stride", "l", "head", "hid")
    assert len(found) == 150 and max(c.number for c in found) == 180
    assert [(c.number, *(c.axes[name] for name in names)) for c in found] == wanted


def test_values_stand_for_their_names_and_mean_what_they_say():
    last = read_matrix(NOTE)[-1]
    slug = "opt-Adam_lr-0.001_patch-8_stride-8_l-16_head-8_hid-256"
    assert last.slug == slug
    assert last.settings == {
        **dict(experiment_name=f"mnist/tr1_{slug}", trainer="autoencoder", scheduler="cosine", loss_function="l1"),
        **dict(globals={"SHAPE": [1, 28, 28], "CODE_SIZE": 78}, max_inputs=1_000_000, batch_size=64),
        **dict(learnrate=0.001, optimizer="Adam", run="180 of this"),
        **dict(model={"kind": "transformer", "patch_size": 8, "layers": [16, 8]}),
    }
    assert read_matrix(NOTE)[0].settings["run"] == "001 of this"


def test_a_file_is_read_the_same_way_every_time_and_its_combinations_share_nothing():
    first, second = read_matrix(NOTE), read_matrix(NOTE)
    assert first == second
    first[0].settings["globals"]["SHAPE"].append(1)
    first[0].axes["patch"] = 0
    assert first[1].settings == second[1].settings and first[1].axes == second[1].axes


@pytest.mark.parametrize(
    "text, value",
    [
        *[("1_000_000", 1_000_000), ("28 * 28 // 10", 78), ("(1, 28, 28)", [1, 28, 28]), ("1e-3", 0.001)],
        *[("-3", -3), ("10 - 2", 8), ("2 ** 10", 1024), ("1 << 4", 16), ("1/8", 0.125), ("7 % 4", 3)],
        *[("2026-11-21", "2026-11-21"), ("5-3", "5-3"), ("64x64", "64x64"), ("0,5", "0,5"), ("4_2", "4_2")],
        *[("007", "007"), ("'28 * 28'", "28 * 28"), ('"1"', "1"), ("yes", "yes"), ("on", "on"), ("1.2.3", "1.2.3")],
        *[("true", True), ("False", False), ("null", None), ("None", None), ("~", None), ("", None), ("'~'", "~")],
        *[("|\n  1 + 1\n", "1 + 1\n"), (">-\n  2\n", "2"), ("siren", "siren"), ("data/a.png", "data/a.png")],
        *[("50 %", "50 %"), ("1 < 2", "1 < 2"), ("(1)(2)", "(1)(2)"), ("...1", "...1"), ("((1, 2), 3)", [[1, 2], 3])],
        ("[1, [2, a], {b: c}]", [1, [2, "a"], {"b": "c"}]),
    ],
)  # fmt: skip
def test_unquoted_text_is_arithmetic_only_where_it_is_all_numbers(text, value):
    (found, *_) = read_matrix(small(f"x: {text}"))
    assert found.settings == {"x": value} and type(found.settings["x"]) is type(value)


@pytest.mark.parametrize(
    "text, value",
    [
        *[("${a}", 4), ('"${a}"', 4), ("32 // ${a}", 8), ('"32 // ${a}"', "32 // 4"), ("x${a}", "x4"), ("${ a }", 4)],
        *[("8_000 // ${a}", 2000), ("${a}_000", "4_000"), ("${a} * 2 ** ${a}", 64)],
        *[("${a}-${a}", "4-4"), ("${a}_${a}", "4_4"), ("(${a}, 1)", [4, 1]), ("|\n  f(${a})\n", "f(4)\n")],
        *[("${b}", "x y"), ("${c}", [1, 2]), ("is ${c}", "is [1, 2]"), ("${d}", True)],
        ("{k: ['${a}', z]}", {"k": [4, "z"]}),
    ],
)  # fmt: skip
def test_a_reference_becomes_the_value_or_within_text_its_text(text, value):
    (found,) = read_matrix(small(f"x: {text}", "a: [4], b: [x y], c: [[1, 2]], d: [true]"))
    assert found.settings == {"x": value} and type(found.settings["x"]) is type(value)


@pytest.mark.parametrize(
    "condition, left",
    [
        *[("${a} < ${b}", "12"), ("a < b", "12"), ("not a < b", "11 22 21"), ("a == b and a > 1", "22")],
        *[("a + b == 3 or a * b == 4", "12 22 21"), ("${a} in (2, 7)", "22 21"), ("'${a}' == \"2\"", "22 21")],
        *[("\"p${a}q${b}\" != 'p1q2'", "11 22 21"), ("1 <= a < b", "12"), ("a not in [2]", "11 12")],
        ("[a, b] == (1, 2)", "12"),
    ],
)  # fmt: skip
def test_a_filter_compares_axes(condition, left):
    block = condition.replace("'", "''")
    found = read_matrix(f"matrix: {{a: [1, 2], b: [1, 2]}}\n$filter: '{block}'")
    assert sorted(f"{c.axes['a']}{c.axes['b']}" for c in found) == sorted(left.split())


def test_filters_at_the_top_and_in_the_matrix_both_hold():
    text = "matrix: {a: [1, 2, 3], b: [1, 2], $filter: a > 1}\n$filter: a + b < 4"
    assert [(c.number, c.axes) for c in read_matrix(text)] == [(3, {"a": 2, "b": 1})]


@pytest.mark.parametrize(
    "text, message",
    [
        ("x: 1", "matrix: expected axes"),
        ("matrix: [1]", "line 1: matrix: expected axes"),
        ("matrix:\n  $filter: 1 < 2", "line 1: matrix: expected axes"),
        ("matrix:\n  a: 3", r"line 2: matrix.a: expected a list of values, got 3; write a: \[3\]"),
        ("matrix:\n  a: [1]\n  b: []", "line 3: matrix.b: the list is empty"),
        ("matrix:\n  a:", "line 2: matrix.a: expected a list"),
        ("matrix:\n  a: [{b: 1}]", "line 2: matrix.a: a value is .* not a mapping"),
        ("matrix:\n  a: [1, 2, 1]", "line 2: matrix.a: the value 1 is there twice"),
        ("matrix:\n  a: [1]\n  b: ['${a}']", r"line 3: matrix.b: \$\{name\} stands in settings"),
        ("matrix:\n  matrix_id: [1]", "line 2: matrix.matrix_id: 'matrix_id' is reserved"),
        ("matrix:\n  title: [1]", "'title' is reserved"),
        ("matrix:\n  slug: [1]", "'slug' is reserved"),
        ("matrix:\n  a-b: [1]", "line 2: matrix.a-b: an axis's name has letters"),
        ("matrix:\n  lambda: [1]", "matrix.lambda: an axis's name"),
        ("matrix: {abc: [1]}\ny:\n  z: [1, '${acb}']", r"line 3: y.z.1: ..acb. is unknown; did you mean \$\{abc\}\?"),
        ("matrix: {a: [1]}\ny: ${oc.env:HOME}", r"line 2: y: ..oc.env:HOME. is unknown; there are \$\{a\}, "),
        ("matrix: {a: [1]}\ny: ${a", r"line 2: y: expected \$\{name\}, got '\$\{a'"),
        ("matrix: {a: [1]}\ny: ${${a}}", r"line 2: y: expected \$\{name\}"),
        ("matrix: {a: [1]}\n${a}: 1", r"line 2: '\$\{a\}': \$\{name\} stands in values, not in keys"),
        ("matrix: {a: [0, 1]}\ny: 1 // ${a}", r"line 2: y: cannot evaluate '1 // 0': .* \(in combination 1\)"),
        ("matrix: {a: [1]}\ny: 1\ny: 2", "line 3: y: given before, in line 2; keep one of them"),
        ("matrix: {a: [1]}\ny: [${a}]", "line 2: not YAML: .* with quotes"),
        ("matrix: {a: [1]}\ny: [(1, 2)]", r"line 2: y.0: '\(1' is cut at a comma"),
        ("matrix: {a: [1]}\n$filter: a > 1", "line 2: .filter: the filter leaves none of the 1 combinations"),
        ("matrix:\n  a: [1]\n  $filter: b > 1", "line 3: matrix.*filter: 'b' isn't an axis; the axes are a"),
        ("matrix: {a: [1]}\n$filter: ${b} > 1", "line 2: .filter: 'b' isn't an axis"),
        ("matrix: {a: [1]}\n$filter: 3", "line 2: .filter: expected a condition"),
        ("matrix: {a: [1]}\n$filter: a +", "line 2: .filter: expected a condition"),
        ("matrix: {a: [1]}\n$filter: a + 1", "line 2: .filter: 'a \\+ 1' must be true or false, got 2"),
        ("matrix: {a: [x]}\n$filter: a < 1", "line 2: .filter: 'a < 1' has no answer for {'a': 'x'}"),
        ("matrix: {a: [1]}\n$extends: b", "line 2: .extends: 'b' cannot be looked up"),
        ("", "file is empty"),
        ("[1, 2]", "line 1: expected keys and values"),
        ("---\na: 1\n---\nb: 1", "line 3: a second document"),
        ("? [1]\n: 2", "line 1: a key must be plain text"),
        ("matrix: 'a", "not YAML"),
    ],
)  # fmt: skip
def test_mistakes_name_the_file_the_line_and_the_key(text, message):
    with pytest.raises(ValueError, match=rf"^f\.yaml.*{message}"):
        read_matrix(text, "f.yaml")


def nested_list(depth: int) -> str:
    return "[" * depth + "1" + "]" * depth


@pytest.mark.parametrize(
    "text, message",
    [
        ("x: 9**9**9", "line 2: x: cannot evaluate .* too large"),
        ("x: 9 ** 999999999", "too large"),
        ("x: 2 << 10**9", "too large"),
        ("x: 2 ** -9999999999", "too large"),
        (f"x: {'9' * 190}", "64 bits"),
        (f"x: {'9' * 5000}", "at most 200 characters, got 5000"),
        (f"x: {'1 + ' * 90_000}1"[:90_000], "at most 200 characters"),
        ("x: 1e999", "finite"),
        ("$filter: 9**9**9 > a", "too large"),
        ("$filter: '10' * 10**9 == 'x'", "Too|arithmetic needs numbers|not YAML"),
        ("$filter: \"'x' * a == 'y'\"", "arithmetic needs numbers"),
        ("$filter: \"'%999999999d' % a == 'y'\"", "arithmetic needs numbers"),
        ("$filter: ().__class__ == a", "cannot have a Attribute"),
        ("$filter: a.__class__.__mro__[1] == a", "cannot have a (Subscript|Attribute)"),
        ("$filter: __import__(a) == a", "cannot have a Call"),
        ("$filter: (lambda a) == a", "expected a condition"),
        ("$filter: '[x for x in a] == a'", "cannot have a ListComp"),
        (f"$filter: {'(' * 480}a{')' * 480} == 1", "nested too deeply|expected a condition"),
        (f"$filter: {'-' * 900}1 == a", "nested too deeply"),
        (f"$filter: a == {'1' * 5000}", "at most 1000 characters"),
        (f"x: {nested_list(40_000)}", "nested more than 20 deep"),
        (f"x: {'{a: ' * 20_000}", "nested more than 20 deep"),
        ("x: &a [z, z]\ny: [*a, *a]", "line 2: x: anchors and aliases are not understood"),
        ("x: *a", "line 2: x: anchors and aliases|not YAML"),
        ("x: !!python/object/apply:os.system ['true']", "line 2: x: tags such as"),
        ("x: !!int '3'", "tags such as"),
        ("!!str x: 3", "a key must be plain text"),
        ("x: a\0b", r"line 2: the character '\\x00' is no text"),
        ("x: \ud800", "line 2: the character .* is no text"),
        ("x: \x07", "not YAML"),
        ("x: " + "y" * 200_000, "at most 100,000 characters, got 200,0"),
        ("x: [" + "'${a}', " * 9_000 + "]\ny: ${matrix_slug}", None),
    ],
)  # fmt: skip
def test_hostile_text_ends_in_a_clear_error(text, message):
    whole = f"matrix: {{a: [1]}}\n{text}"
    if message is None:
        assert len(read_matrix(whole)[0].settings["x"]) == 9_000
        return
    with pytest.raises(ValueError, match=message):
        read_matrix(whole, "f.yaml")


def test_too_large_a_matrix_is_refused_before_it_is_built():
    axes = "".join(f"  a{i}: {list(range(10))}\n" for i in range(9))
    with pytest.raises(ValueError, match=r"line 1: matrix: 1,000,000,000 combinations; a study has at most 10,000"):
        read_matrix(f"matrix:\n{axes}")


def test_too_long_settings_of_many_combinations_are_refused_before_they_are_built():
    axes = f"a: {list(range(100))}, b: {list(range(100))}, c: [{'x' * 200}]"
    with pytest.raises(ValueError, match="the settings of all 10,000 combinations have more than 10,000,000 char"):
        read_matrix(small("y: " + "'${c}${c}${c}${c}${c}${c}'", axes))


def test_resolvers_of_other_libraries_are_not_asked(monkeypatch):
    monkeypatch.setenv("SECRET", "do not read")
    for text in ("${oc.env:SECRET}", "${env:SECRET}", "${oc.decode:1}", "${.a}", "${a.b}", "${a[0]}", "${!a}"):
        with pytest.raises(ValueError, match="is unknown"):
            read_matrix(small(f"x: '{text}'"))


def test_slugs_are_short_safe_and_unique():
    axes = f"image: ['a b/{'ü' * 9}.png', a_b.png, ab.png, AB.png, {'x' * 60}1, {'x' * 60}2], w: [[256, 128], 1e-5]"
    found = [c.slug for c in read_matrix(small(axes=axes))]
    assert found[0] == "image-ab.png_w-256,128_01" and found[2] == "image-a_b.png_w-256,128"
    assert len({slug.casefold() for slug in found}) == 12
    assert all(re.fullmatch(r"[A-Za-z0-9.,_-]{1,150}", slug) for slug in found)


def test_long_slugs_end_in_their_number():
    axes = ", ".join(f"a_rather_long_name_{i}: [1, 2]" for i in range(8))
    found = [c.slug for c in read_matrix(small(axes=axes))]
    assert len(set(found)) == 256 and max(map(len, found)) <= 150 and found[0].endswith("_001")


def test_a_slug_made_unique_never_meets_another():
    found = [c.slug for c in read_matrix(small(axes="k: ['x?', 'x!', x_1, x_2]"))]
    assert len(set(found)) == 4


def test_a_filter_changes_no_slug_and_no_number():
    whole = {c.number: c.slug for c in read_matrix(small(axes="k: ['x?', 'x!', y], a: [1, 2]"))}
    part = read_matrix(small("$filter: a == 2", "k: ['x?', 'x!', y], a: [1, 2]"))
    assert [whole[c.number] for c in part] == [c.slug for c in part] and len(part) == 3


BASES = {
    "base": "matrix: {a: [1, 2], b: [3]}\nmodel: {width: 8, depth: 2}\nlr: 0.1\n",
    "middle": "$extends: base\nmodel: {width: 16}\n",
    "circle": "$extends: circle2",
    "circle2": "$extends: circle",
    "broken": "lr: [",
    **{f"link{i}": f"$extends: link{i + 1}" for i in range(20)},
}


def test_a_file_extends_another_key_by_key():
    (found, *rest) = read_matrix(
        "$extends: middle\nmatrix: {a: [7], c: [5]}\nlr: ${c}\nw: ${b}", base=BASES.__getitem__
    )
    assert not rest and found.axes == {"a": 7, "b": 3, "c": 5} and list(found.axes) == ["a", "b", "c"]
    assert found.settings == {"model": {"width": 16, "depth": 2}, "lr": 5, "w": 3}


@pytest.mark.parametrize(
    "name, message",
    [
        ("circle", r"circle2?, line 1: \$extends: the chain f > circle > circle2 > circle goes in a circle"),
        ("link0", "the chain .* has more than 8 files"),
        ("broken", "broken, line 1: not YAML"),
        ("[a]", "line 1: .extends: expected the name of a study"),
    ],
)
def test_a_chain_of_bases_is_bounded(name, message):
    with pytest.raises(ValueError, match=message):
        read_matrix(f"$extends: {name}", "f", base=BASES.__getitem__)


def test_errors_in_a_base_name_the_base():
    with pytest.raises(ValueError, match=r"^base, line 3: lr: \$\{c\} is unknown"):
        read_matrix("$extends: base", "f", base=lambda _: BASES["base"].replace("0.1", "${c}"))


def experiment(**changes) -> Experiment:
    parts = dict(defaults={"a": 0, "lr": 0.1}, required=("size",), check=None)
    return Experiment("mine", lambda settings, folder: {}, **{**parts, **changes})


def test_axes_that_are_settings_are_passed_to_the_experiment():
    found = read_matrix("matrix: {a: [1, 2], k: [3]}\nsize: ${k}", experiment=experiment())
    assert [c.settings for c in found] == [{"size": 3, "a": 1}, {"size": 3, "a": 2}]


@pytest.mark.parametrize(
    "text, message",
    [
        ("matrix: {a: [1]}\nsize: 3\nsizee: 4", r"line 3: sizee: .* 'mine' has no such setting; it has a, lr, size"),
        ("matrix: {a: [1]}", "the experiment 'mine' needs size"),
        ("matrix:\n  a: [1]\n  k: [1, 2]\nsize: 3", r"line 3: matrix.k: this axis changes nothing: no setting has"),
        ("matrix:\n  a: [1, 2]\nsize: 3\na: 4", "line 2: matrix.a: this axis changes nothing"),
    ],
)  # fmt: skip
def test_settings_are_checked_against_the_experiment(text, message):
    with pytest.raises(ValueError, match=message):
        read_matrix(text, "f.yaml", experiment=experiment())


def test_combinations_that_the_experiment_cannot_run_say_why():
    def check(settings):
        if settings["a"] > settings["size"]:
            raise ValueError(f"a = {settings['a']} is larger than the size {settings['size']}")

    found = read_matrix("matrix: {a: [1, 2, 3]}\nsize: 2", experiment=experiment(check=check))
    assert [c.refused for c in found] == [None, None, "a = 3 is larger than the size 2"]


def test_of_the_notes_150_combinations_the_30_that_cannot_rebuild_28_pixels_are_refused():
    text = NOTE.replace('"${patch}", layers', '"${patch}", stride: "${stride}", layers')
    names = list(read_matrix(NOTE)[0].settings)

    def check(asked):
        check_tiling(asked["globals"]["SHAPE"][-1], asked["model"]["patch_size"], asked["model"]["stride"])

    unused = text.replace('"${head}"]', '"${head}", "${hid}"]')
    found = read_matrix(unused, experiment=Experiment("autoencoder", lambda *_: {}, {}, names, check))
    refused = [c for c in found if c.refused]
    assert len(found) == 150 and len(refused) == 30
    assert {(c.axes["patch"], c.axes["stride"]) for c in refused} == {(8, 8)}
    assert "patches of 8 pixels with stride 8 rebuild 24 of 28 pixels" in refused[0].refused


def test_a_hostile_text_is_read_no_further_than_its_first_offence(monkeypatch):
    parse, seen = document.yaml.parse, []
    monkeypatch.setattr(document.yaml, "parse", lambda *a, **k: (seen.append(e) or e for e in parse(*a, **k)))
    for text in (nested_list(40_000), "a: &x 1\n" + "b: 1\n" * 10_000, "a: 1\na: 1\n" * 5_000):
        seen.clear()
        with pytest.raises(ValueError):
            read_matrix(text)
        assert len(seen) < 40


PIECES = [
    "matrix:",
    "a",
    "b",
    ": ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\n",
    "\n  ",
    "${",
    "}",
    "$filter",
    "$extends",
    "1",
    "-3",
    "1e9",
]
PIECES += [
    "**",
    "//",
    "<<",
    " - ",
    "(",
    ")",
    "'",
    '"',
    "|",
    ">",
    "*x",
    "&x",
    "!!str",
    "? ",
    "- ",
    "#",
    "%",
    "\t",
    "ü",
    "\x85",
    "~",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_text_gives_combinations_or_a_value_error(pieces, with_axes):
    try:
        found = read_matrix("matrix: {a: [1, 2], b: [x]}\n" * with_axes + "".join(pieces))
    except ValueError as error:
        assert re.match(r"the matrix(, line \d+)?: .", str(error))
    else:
        assert found and all(c.settings.keys().isdisjoint({"matrix", "$filter"}) for c in found)

"""The `.sirn` file: what is written is read, nothing is wasted, and the document describes it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sirn_reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sirn_files import coded, encoded, labels, network

from siren_fastai.sirn import format as sirn
from siren_fastai.sirn.decode import decode
from siren_fastai.sirn.format import CodedTensor, Denoise, Encoded, Labels, Limits, Network, parts, read, write
from siren_fastai.sirn.reader import Reader, varint

DOCUMENT = Path(__file__).parents[1] / "docs" / "format.md"
GOLDEN = Path(__file__).parent / "golden"


def same_tensor(a: CodedTensor, b: CodedTensor) -> bool:
    if a.kind == "fp16":
        return b.kind == "fp16" and np.array_equal(a.values, b.values)
    return (a.kind, a.bits) == (b.kind, b.bits) and torch.equal(a.step, b.step) and np.array_equal(a.symbols, b.symbols)


def same(a: Encoded, b: Encoded) -> bool:
    plain = ("height", "width", "channels", "grid", "omega_0", "hidden_omega_0", "mean", "denoise")
    if any(getattr(a, name) != getattr(b, name) for name in plain) or (a.labels is None) != (b.labels is None):
        return False
    marks = a.labels is None or (a.labels.k, a.labels.use) == (b.labels.k, b.labels.use)
    marks = marks and (a.labels is None or np.array_equal(a.labels.map, b.labels.map))
    dims = [x.dims for x in a.networks] == [x.dims for x in b.networks]
    tensors = zip((t for n in a.networks for t in n.tensors), (t for n in b.networks for t in n.tensors), strict=True)
    return marks and dims and all(same_tensor(x, y) for x, y in tensors)


@st.composite
def pictures(draw):
    """Any small picture that the format knows."""
    channels = draw(st.sampled_from([1, 3, 2, 7]))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    use = draw(st.sampled_from([None, "network", "feature", "scalar"]))
    k = draw(st.integers(1, 5))
    bits = draw(st.lists(st.sampled_from([*range(2, 11), 16]), min_size=1, max_size=4))
    count = k if use == "network" else 1
    inputs = 2 + (Labels.features(k, use) if use else 0)
    hidden = draw(st.lists(st.integers(1, 9), max_size=4))
    by_row, seed = draw(st.booleans()), draw(st.integers(0, 99))
    marks = None
    if use:
        shape = draw(st.sampled_from([(height, width), (1, width), (height, 1)]))
        marks = Labels(np.random.default_rng(seed).integers(0, k, shape), k, use)
    finite = st.floats(-2, 2, width=32)
    return Encoded(
        height,
        width,
        channels,
        [network((inputs, *hidden, channels), bits, by_row, seed + i) for i in range(count)],
        draw(st.sampled_from(["centers", "corners", "left"])),
        draw(st.sampled_from([30.0, 20.0, 0.1])),
        draw(st.sampled_from([30.0, 1.0])),
        draw(st.none() | st.tuples(*[finite] * channels)),
        marks,
        draw(st.sampled_from([None, Denoise("tv", 0.1), Denoise("nlm", 0.05)])),
    )


@pytest.mark.slow
@settings(max_examples=60)
@given(pictures())
def test_what_is_written_is_read(picture):
    data = write(picture)
    again = read(data)
    assert same(again, picture) and write(again) == data
    rows = parts(data)
    assert sum(n for _, n, _ in rows) == len(data) and all(n > 0 and text for _, n, text in rows)


@pytest.mark.numerics
@settings(max_examples=25)
@given(pictures())
def test_a_decoder_written_from_the_document_sees_the_same_pixels(picture):
    picture.denoise = None
    expected, _ = sirn_reference.decode(write(picture))
    np.testing.assert_allclose(decode(picture).numpy(), expected, atol=2e-4)


def test_a_file_of_3000_bytes_spends_less_than_60_on_anything_but_symbols_and_steps():
    data = write(encoded(512, 768, hidden=(20,) * 8, bits=(7,)))
    rows = {name: n for name, n, _ in parts(data)}
    assert 2500 < len(data) < 3500
    assert len(data) - rows["symbols"] - rows["steps"] < 60


def test_symbol_models_are_shared_when_that_is_smaller():
    tensors = [coded(torch.randn(n), 6) for n in (8, 3)]
    weights = [coded(torch.randn(8, 2), 6), coded(torch.randn(3, 8), 6)]
    one = Network([2, 8, 3], [weights[0], tensors[0], weights[1], tensors[1]])
    marks = Labels(np.zeros((1, 2), int), 2, "network")
    rows = {name: n for name, n, _ in parts(write(Encoded(4, 4, 3, [one, one], labels=marks)))}
    assert rows["models"] <= 4 * 3, "the second network repeats the first one's models"


def test_tensors_of_zeros_take_no_symbols():
    zeros = Network([2, 30, 1], [CodedTensor("uniform", 4, torch.tensor(1.0), np.zeros(s, int)) for s in SHAPES])
    data = write(Encoded(5, 5, 1, [zeros]))
    assert len(data) < 45 and same(read(data), Encoded(5, 5, 1, [zeros]))


SHAPES = [(30, 2), (30,), (1, 30), (1,)]


def test_a_network_of_zeros_beyond_belief_is_not_written():
    dims = [2, 300, 300, 1]
    zeros = [CodedTensor("uniform", 4, torch.tensor(1.0), np.zeros(s, int)) for s in Network.shapes(dims)]
    with pytest.raises(ValueError, match="91501 parameters in .* are nearly all 0"):
        write(Encoded(5, 5, 1, [Network(dims, zeros)]))


def test_defaults_take_no_bytes_and_options_take_theirs():
    plain = len(write(encoded()))
    assert len(write(encoded(grid="left"))) == plain
    assert len(write(encoded(omega_0=20.0))) == plain + 8
    assert len(write(encoded(mean=(0.1, 0.2, 0.3)))) == plain + 12
    assert len(write(encoded(denoise=("tv", 0.1)))) == plain + 7


@pytest.mark.parametrize("value, text", [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (1 << 34, "8080808040")])
def test_varints_are_leb128(value, text):
    assert varint(value).hex() == text
    assert Reader(varint(value)).number("n", 0, 1 << 34) == value


def test_the_example_of_the_document_is_the_golden_file():
    text = DOCUMENT.read_text(encoding="utf-8").split("## Worked example")[1]
    rows = re.findall(r"^\| (\d+) \| `([0-9a-f ]+)` \| ", text, re.MULTILINE)
    found = b""
    for start, numbers in rows:
        assert int(start) == len(found), "a row begins where the one before ends"
        found += bytes.fromhex(numbers)
    data = (GOLDEN / "v1-tiny.sirn").read_bytes()
    assert found == data
    symbols = re.search(r"symbols .*?: `([-0-9, ]+)`", text)[1]
    expected = [int(s) for t in read(data).networks[0].tensors if t.kind == "uniform" for s in t.symbols.reshape(-1)]
    assert [int(s) for s in symbols.split(",")] == expected
    steps = [float(s) for s in re.findall(r"step ([0-9.]+)", text)]
    assert steps == [float(t.step) for t in read(data).networks[0].tensors if t.kind == "uniform"]


def test_the_document_names_the_limits_and_the_tags():
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, value in vars(Limits()).items():
        assert re.search(rf"`{name}` \| {value}\b|`{name}` \| 2\^{int(value).bit_length() - 1} ", text), name
    for tag, name in sirn.NAMES.items():
        assert f"| {tag} | {name} |" in text


def test_info_names_what_takes_the_bytes():
    rows = dict((name, text) for name, _, text in parts(write(encoded(with_labels="network", denoise=("median", 1)))))
    assert rows["picture"].startswith("9 x 7 x 3, grid centers, omega_0 30")
    assert rows["labels"] == "6 x 5 cells of 3, as network" and rows["denoise"] == "median, strength 1"
    assert rows["networks"] == "3 of widths 2-8-8-3; 6 to 6 bits"


UNIFORM = {"kind": "uniform", "bits": 4, "step": torch.tensor(0.5), "symbols": np.array([1, -7])}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kind": "int8"}, "`kind` must be 'uniform' or 'fp16'"),
        ({"bits": 1}, "`bits` must be from 2 to 10, got 1"),
        ({"bits": 3}, "`symbols` of 3 bits must be some numbers from -3 to 3"),
        ({"symbols": np.array([0.5])}, "`symbols` must be a signed integer array"),
        ({"symbols": np.zeros((0, 2), int)}, "must be some numbers"),
        ({"step": torch.tensor(0.0)}, "`step` must be .* from 1.17"),
        ({"step": torch.tensor([[0.5], [1.0]])}, r"`step` must be of a shape in \[\(\)\]"),
        ({"step": torch.tensor(0.1)}, "round it with `round_step`"),
        ({"kind": "fp16", "values": np.array([np.inf], np.float16)}, "finite float16"),
        ({"kind": "fp16", "values": np.array([1.0])}, "finite float16"),
    ],
)
def test_tensors_that_cannot_be_stored_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CodedTensor(**{**UNIFORM, **changes})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"height": 0}, "sizes must be integers above 0"),
        ({"grid": "center"}, "`grid` one of"),
        ({"omega_0": 0.0}, "omega_0 must be from"),
        ({"mean": (0.1, 0.2)}, "`mean` must be 3 finite numbers"),
        ({"mean": (0.1, 0.2, float("nan"))}, "`mean` must be 3 finite numbers"),
        ({"networks": []}, "`networks` must be 1, got 0"),
        ({"channels": 1}, "networks must go from 2 inputs to 1 channels, got"),
        ({"labels": labels(k=3)}, "networks must go from 5 inputs"),
        ({"labels": labels(k=3, use="network")}, "`networks` must be 3, got 1"),
        ({"labels": labels((10, 5), k=1)}, "`labels` must not be larger than the image"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(encoded(), **changes)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Labels(np.array([[0, 3]]), 3), "`map` must be from 0 to k - 1 = 2, got 0 to 3"),
        (lambda: Labels(np.zeros(3, int), 3), r"`map` must be \(h, w\) integers"),
        (lambda: Labels(np.zeros((2, 2), int), 300), "`k` from 1 to 256"),
        (lambda: Labels(np.zeros((2, 2), int), 2, "colour"), "`use` must be one of"),
        (lambda: Denoise("blur", 1.0), "`method` must be one of"),
        (lambda: Network([2, 0], []), "`dims` must list at least two widths"),
        (lambda: Network([2, 3], [coded(torch.ones(3, 3)), coded(torch.ones(3))]), "`tensors` must have the shapes"),
    ],
)
def test_labels_denoisers_and_networks_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()

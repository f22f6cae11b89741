"""Entropy coding: exact inverses, sizes near the entropy, and errors for bytes that are no stream."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siren_fastai.quantize.entropy import (
    SymbolModel,
    code_length,
    decode_symbols,
    encode_symbols,
    fit_model,
)
from siren_fastai.quantize.quantizers import BITS, fit_quantizer, quantize

MODELS = st.builds(
    SymbolModel,
    st.sampled_from(["laplace", "gauss"]),
    st.integers(1, 0x3F7F).map(lambda code: float(np.uint32(code << 16).view(np.float32))),
    st.integers(0, 511),
)


def entropy(symbols):
    counts = np.unique(np.asarray(symbols), return_counts=True)[1]
    return -(counts * np.log2(counts / counts.sum())).sum()


def draws(name, n=4096):
    if name == "uniform":
        return torch.rand(n) - 0.5
    return torch.randn(n) if name == "normal" else torch.distributions.Laplace(0.0, 1.0).sample((n,))


@given(MODELS)
@settings(max_examples=60)
def test_frequencies_are_positive_symmetric_and_sum_to_two_to_the_24(model):
    table = model.frequencies()
    assert table.shape == (2 * model.limit + 1,) and table.min() >= 1 and table.sum() == 1 << 24
    assert np.array_equal(table, table[::-1]) and table.argmax() == model.limit


@pytest.mark.parametrize("family, power", [("laplace", 1), ("gauss", 2)])
def test_frequencies_are_those_of_the_formula(family, power):
    shares = 0.75 ** np.abs(np.arange(-9.0, 10)) ** power
    table = SymbolModel(family, 0.25, 9).frequencies()
    np.testing.assert_allclose(table / 2**24, shares / shares.sum(), atol=2e-6)


@pytest.mark.parametrize("symbol", [0, 2, 7])
def test_the_coder_uses_exactly_these_frequencies(symbol):
    model = SymbolModel("gauss", 0.0625, 7)
    data = encode_symbols([(np.full(200_000, symbol, np.int32), model)])
    expected = 200_000 * (24 - np.log2(model.frequencies()[symbol + 7]))
    assert abs(8 * len(data) - expected) < 64 + 1e-5 * expected


@given(st.lists(st.tuples(MODELS, st.integers(0, 40)), max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_any_symbols_in_range_come_back(parts, seed):
    rng = np.random.default_rng(seed)
    parts = [(rng.integers(-m.limit, m.limit + 1, count).astype(np.int32), m) for m, count in parts]
    data = encode_symbols(parts)
    decoded = decode_symbols(data, [(len(s), m) for s, m in parts])
    assert all(d.dtype == np.int32 and np.array_equal(d, s) for d, (s, _) in zip(decoded, parts, strict=True))


@pytest.mark.parametrize("name", ["uniform", "normal", "laplace"])
@pytest.mark.parametrize("bits", BITS)
def test_code_length_is_that_of_the_stream_and_near_the_entropy(name, bits):
    weight = draws(name)
    symbols = quantize(weight, fit_quantizer(weight, bits))
    model = fit_model(symbols)
    real, estimate = 8 * len(encode_symbols([(symbols, model)])), code_length(symbols, model)
    assert abs(real - estimate) <= max(0.01 * real, 32)
    assert estimate < 1.005 * entropy(symbols) + 3 * 2**bits  # the histogram itself would have to be sent as well


@pytest.mark.parametrize("family", ["laplace", "gauss"])
def test_the_fitted_model_is_the_best_of_its_family(family):
    rng = np.random.default_rng(1)
    symbols = rng.laplace(0, 3, 500) if family == "laplace" else rng.normal(0, 4, 500)
    symbols = symbols.round().astype(np.int32)
    model = fit_model(symbols)
    codes = np.arange(0x3A00, 0x3F80, 3, dtype=np.uint32) << 16
    others = [SymbolModel(family, float(d), int(np.abs(symbols).max())) for d in codes.view(np.float32)]
    assert model.family == family
    assert code_length(symbols, model) <= min(code_length(symbols, other) for other in others) + 0.01


def test_zeros_alone_take_no_bytes():
    zeros = torch.zeros(7, 3, dtype=torch.int32)
    model = fit_model(zeros)
    assert model.limit == 0 and encode_symbols([(zeros, model)]) == b"" and code_length(zeros, model) == 0
    assert decode_symbols(b"", [(21, model)])[0].tolist() == [0] * 21
    assert decode_symbols(b"", []) == []


def test_rare_symbols_can_be_coded():
    symbols = np.array([0] * 50 + [511, -511], np.int32)
    model = SymbolModel("gauss", 0.99609375, 511)
    assert decode_symbols(encode_symbols([(symbols, model)]), [(52, model)])[0].tolist() == symbols.tolist()


def test_damaged_streams_are_errors():
    rng = np.random.default_rng(0)
    symbols = rng.integers(-7, 8, 300).astype(np.int32)
    model = fit_model(symbols)
    data, wanted = encode_symbols([(symbols, model)]), [(300, model)]
    for length in range(len(data)):
        with pytest.raises(ValueError, match="truncated|corrupted"):
            decode_symbols(data[:length], wanted)
    for more in (b"\0\0\0\0", b"abcd"):
        with pytest.raises(ValueError, match="too long"):
            decode_symbols(data + more, wanted)
    for foreign in (b"\xff" * 40, rng.bytes(40), b"\0" * 8):
        with pytest.raises(ValueError):
            decode_symbols(foreign, wanted)
    with pytest.raises(ValueError):
        decode_symbols(data, [(299, model)])


@given(st.binary(max_size=64), st.lists(st.tuples(st.integers(0, 50), MODELS), max_size=3))
@settings(max_examples=80)
def test_any_bytes_either_decode_to_themselves_or_are_an_error(data, wanted):
    try:
        decoded = decode_symbols(data, wanted)
    except ValueError:
        return
    assert encode_symbols([(d, m) for d, (_, m) in zip(decoded, wanted, strict=True)]) == data


def test_wrong_symbols_and_models_are_refused():
    model = SymbolModel("laplace", 0.5, 3)
    with pytest.raises(ValueError, match="`symbols` must be from -3 to 3"):
        encode_symbols([(np.array([4]), model)])
    with pytest.raises(TypeError, match="integers"):
        fit_model(torch.ones(3))
    with pytest.raises(ValueError, match="not be empty"):
        fit_model(np.zeros(0, np.int32))
    with pytest.raises(ValueError, match="`family`"):
        SymbolModel("cauchy", 0.5, 3)
    for decay in (0.0, 1.0, -0.5, 0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`decay`"):
            SymbolModel("gauss", decay, 3)
    for limit in (-1, 512, True):
        with pytest.raises(ValueError, match="`limit`"):
            SymbolModel("gauss", 0.5, limit)

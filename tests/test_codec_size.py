"""Shapes for sizes: the widest network that fits, and what a quality stands for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siren_fastai.codec.size import LAYERS, bits_per_pixel_of, dims_for, least_bytes
from siren_fastai.models.siren import siren_model
from siren_fastai.sirn.contents import Network


def test_quality_rises_from_a_fiftieth_of_a_bit_to_two_by_equal_factors():
    rates = [bits_per_pixel_of(q) for q in range(1, 101)]
    assert rates[0] == pytest.approx(0.02) and rates[-1] == pytest.approx(2)
    factors = [b / a for a, b in zip(rates[:-1], rates[1:], strict=True)]
    assert factors == pytest.approx([factors[0]] * 99) and factors[0] > 1


@pytest.mark.parametrize("quality", [0, 0.99, 100.5, -3, True, float("nan"), float("inf")])
def test_a_quality_out_of_range_is_refused(quality):
    with pytest.raises(ValueError, match="`quality` must be from 1 to 100, got"):
        bits_per_pixel_of(quality)


def test_parameters_are_those_of_the_network():
    dims = [4, 12, 6, 6, 3]
    assert Network.count(dims) == sum(p.numel() for p in siren_model(dims).parameters())


@given(st.integers(200, 20_000), st.sampled_from([1, 3]), st.sampled_from([2, 6]), st.integers(1, 4))
@settings(max_examples=40)
def test_the_network_is_the_widest_that_fits(n_bytes, channels, inputs, networks):
    least = least_bytes(channels, inputs, networks)
    if n_bytes < least:
        with pytest.raises(ValueError, match=f"about {least} bytes, and {n_bytes} are left"):
            dims_for(n_bytes, channels, inputs, networks)
        return
    dims = dims_for(n_bytes, channels, inputs, networks)
    width = dims[-2]
    assert dims == [inputs, 2 * width, *[width] * (LAYERS - 1), channels]
    wider = [inputs, 2 * width + 2, *[width + 1] * (LAYERS - 1), channels]
    bits = [8 * n_bytes / (networks * Network.count(d)) for d in (dims, wider)]
    assert bits[0] > 5.2 and bits[1] < 5.2 * (1 + 60 / (n_bytes / networks - 60)) + 1e-9


@pytest.mark.parametrize("channels, inputs, networks", [(1, 2, 1), (3, 2, 1), (3, 6, 1), (3, 2, 4)])
def test_the_least_bytes_are_the_least_that_are_accepted(channels, inputs, networks):
    least = least_bytes(channels, inputs, networks)
    assert dims_for(least, channels, inputs, networks)[-2] == 4
    with pytest.raises(ValueError, match="smallest network"):
        dims_for(least - 1, channels, inputs, networks)

"""Exactly as many training batches as were asked for, whatever the image's size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siren_fastai.codec.loader import step_loaders


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 40), st.integers(1, 60), st.integers(1, 5))
def test_the_epochs_make_exactly_the_steps_in_equal_batches(height, width, bs, steps, max_epochs):
    dls, epochs = step_loaders(torch.rand(height, width, 3), bs, steps, max_epochs, "cpu")
    n = height * width
    assert len(dls.train) * epochs == steps and 1 <= epochs <= max(1, min(max_epochs, round(steps * min(bs, n) / n)))
    batches = list(dls.train)
    assert len(batches) == len(dls.train) and {len(values) for _, values in batches} == {min(bs, n)}


def test_each_pass_visits_every_pixel_once():
    values = torch.arange(24.0).view(4, 6, 1)
    dls, epochs = step_loaders(values, 8, 9, 5, "cpu")  # three steps see the image once
    seen = torch.cat([batch for _, batch in dls.train]).flatten()
    assert epochs == 3 and sorted(seen.tolist()) == list(range(24))


def test_validation_is_the_whole_image_in_order():
    values = torch.rand(5, 7, 3)
    dls, _ = step_loaders(values, 8, 3, 5, "cpu")
    assert torch.equal(torch.cat([batch for _, batch in dls.valid]), values.flatten(0, 1))


@pytest.mark.parametrize("steps, epochs", [(7, 1), (60, 5), (64, 4)])
def test_evaluations_divide_the_steps(steps, epochs):
    assert step_loaders(torch.rand(4, 4, 1), 16, steps, 5, "cpu")[1] == epochs

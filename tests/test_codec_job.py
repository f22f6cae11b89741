"""One picture on its way to a file of a given size: rounds of training until the file fits, or never does."""

import pytest
import torch
from fastai.torch_core import no_random
from learners import picture

from siren_fastai.codec.clusters import Clusters
from siren_fastai.codec.job import Job
from siren_fastai.codec.training import Training
from siren_fastai.quality import psnr
from siren_fastai.quantize import allocate as encode
from siren_fastai.quantize.quantizers import Quantizer, round_step
from siren_fastai.sirn.decode import decompress


@pytest.fixture(autouse=True)
def _few_bits(monkeypatch):
    monkeypatch.setattr(encode, "BITS", (2, 4, 6, 8))


@pytest.fixture
def tunings(monkeypatch):
    """A function that makes the first so many tunings end with steps so fine that the file is too large."""
    asked, tune = [], Training.fine_tune

    def spoil(count):
        def spoiled(self, quantizers, steps, budget_bits=None, gently=False):
            asked.append((gently, budget_bits))
            found = tune(self, quantizers, steps, budget_bits, gently)
            finer = {n: Quantizer(10, round_step(q.step / 4)) for n, q in found.items()}
            return finer if len(asked) <= count else found

        monkeypatch.setattr(Training, "fine_tune", spoiled)
        return asked

    return spoil


def encoded(n_bytes=900, **options):
    image = torch.from_numpy(picture(24, 32))
    with no_random(0):
        data, _ = Job(image, 12, "cpu", False, **options).encode(n_bytes)
    assert len(data) <= n_bytes and psnr(decompress(data), image) > 5
    return data


@pytest.mark.parametrize("clusters", [None, Clusters(2, use="network"), Clusters(3)], ids=["one", "two", "features"])
def test_a_file_that_is_too_large_is_trained_again_gently(clusters, tunings):
    asked = tunings(1)
    encoded(clusters=clusters)
    assert [gently for gently, _ in asked][:2] == [False, True] and len(asked) <= 3


def test_a_file_that_stays_too_large_is_rounded_anew_to_its_size(tunings):
    asked = tunings(9)
    data = encoded()
    assert [gently for gently, _ in asked] == [False, True, True] and len(data) > 0.9 * 900


def test_a_flat_picture_is_met_without_beginning_anew():
    image = torch.full((16, 16, 3), 0.25)
    with no_random(0):
        data, report = Job(image, 150, "cpu", False).encode(600)
    assert len(data) <= 600 and psnr(decompress(data), image) > 40 and report["steps"] < 200

"""The search for a PSNR: few encodes, the smallest file that reaches it, Ctrl-C."""

import math

import pytest
import torch

from siren_fastai.codec.result import Compressed
from siren_fastai.codec.search import first_bits_per_pixel, search_psnr


class Encoder:
    """Files of a known curve, `slope` dB per doubling from 20 dB at 1000 bytes; Ctrl-C in or during a given call."""

    def __init__(self, slope=2.0, raises=None, interrupted=None):
        self.slope, self.raises, self.interrupted, self.made = slope, raises, interrupted, []

    def __call__(self, n_bytes):
        if len(self.made) + 1 == self.raises:
            raise KeyboardInterrupt
        report = {"psnr": 20 + self.slope * math.log2(n_bytes / 1000), "seconds": 1.5}
        report["interrupted"] = len(self.made) + 1 == self.interrupted
        self.made.append(Compressed(bytes(int(n_bytes)), torch.zeros(1, 1, 1), report))
        return self.made[-1]


@pytest.mark.parametrize("slope", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("target", [18.0, 20.0, 24.0])
def test_the_target_is_met_closely_in_few_encodes(slope, target):
    made = search_psnr(encoder := Encoder(slope), (10, 1e6), 1000, target)
    assert made.report["reached"] and target <= made.report["psnr"] <= target + 0.25 and len(encoder.made) <= 5
    assert made.report["target_psnr"] == target and made.report["seconds"] == 1.5 * len(encoder.made)
    enough = [c for c in encoder.made if c.report["psnr"] >= target]
    assert len(made.data) == min(len(c.data) for c in enough) and not made.report["interrupted"]


def test_a_target_out_of_reach_gives_the_best_within_the_limits():
    made = search_psnr(encoder := Encoder(), (10, 4000), 1000, 50.0)
    assert len(made.data) == 4000 and not made.report["reached"]
    assert len({len(c.data) for c in encoder.made}) == len(encoder.made), "no size is tried twice"


def test_a_target_below_the_smallest_file_is_met_by_it():
    made = search_psnr(encoder := Encoder(), (5000, 9000), 1000, 10.0)
    assert len(made.data) == 5000 and made.report["reached"] and len(encoder.made) == 1


def test_ctrl_c_during_an_encode_ends_the_search_with_the_best_so_far():
    made = search_psnr(encoder := Encoder(interrupted=2), (10, 1e6), 1000, 30.0)
    assert len(encoder.made) == 2 and made.report["interrupted"] and not made.report["reached"]


def test_ctrl_c_outside_training_keeps_an_earlier_file():
    made = search_psnr(encoder := Encoder(raises=2), (10, 1e6), 1000, 30.0)
    assert made.report["interrupted"] and made.data == encoder.made[0].data
    with pytest.raises(KeyboardInterrupt):
        search_psnr(Encoder(raises=1), (10, 1e6), 1000, 30.0)


def test_six_decibels_are_eight_times_the_first_bits():
    assert first_bits_per_pixel(33) == pytest.approx(8 * first_bits_per_pixel(27))

"""What is reported of a file, and which denoiser helps an image most."""

import numpy as np
import pytest
import torch
from sirn_files import encoded

from siren_fastai.codec.result import STRENGTHS, best_denoiser, measured
from siren_fastai.images import to_uint8
from siren_fastai.quality import psnr, ssim
from siren_fastai.sirn.decode import decompress
from siren_fastai.sirn.denoise import denoise
from siren_fastai.sirn.format import FormatError, Limits, read, write


def levels(image):
    return to_uint8(image) / 255.0


@pytest.mark.parametrize("size", [(12, 9), (4, 9)])
def test_measures_are_those_of_the_decoded_8_bit_pixels(size):
    data, target = write(encoded(*size)), torch.rand(*size, 3)
    made = measured(data, target, {"steps": 3})
    assert torch.equal(made.image, decompress(data)) and made.data == data and made.report["steps"] == 3
    assert made.report["bytes"] == len(data) and made.report["bpp"] == 8 * len(data) / (size[0] * size[1])
    assert made.report["psnr"] == pytest.approx(psnr(levels(made.image), levels(target)))
    expected = ssim(levels(made.image), levels(target)) if size[0] >= 7 else None
    assert made.report["ssim"] == (None if expected is None else pytest.approx(expected))


def test_the_best_denoiser_is_the_one_that_helps_most_or_none():
    clean = torch.from_numpy(np.kron([[0.2, 0.8], [0.8, 0.2]], np.ones((8, 8)))[..., None].astype(np.float32))
    noisy = (clean + 0.1 * torch.randn(clean.shape)).clamp(0, 1)
    found = best_denoiser(noisy, clean)
    scores = [
        psnr(levels(denoise(noisy, method, strength)), levels(clean))
        for method, strengths in STRENGTHS.items()
        for strength in strengths
    ]
    assert psnr(levels(denoise(noisy, found.method, found.strength)), levels(clean)) == pytest.approx(max(scores))
    assert best_denoiser(clean, clean) is None


@pytest.mark.parametrize("size", [(24, 16), (2000, 1500)])
def test_the_report_says_how_long_decoding_takes_in_the_readers_own_unit(size):
    data = write(encoded(*size, hidden=(16, 8)))
    report = measured(data, torch.zeros(*size, 3), {}).report
    limit = 1e9 * report["decoding_seconds"]
    assert report["decoding_seconds"] > 0 and read(data, Limits(work=1.001 * limit))
    with pytest.raises(FormatError, match="s of one core to decode"):
        read(data, Limits(work=0.999 * limit))

"""Patches that cover an image, against PyTorch's convolutions."""

import pytest
import torch

from siren_fastai.models.tiling import check_tiling


@pytest.mark.parametrize(
    "size, patch, stride", [(28, 4, 2), (28, 8, 4), (28, 28, 28), (7, 3, 1), (9, 3, 3), (28, 8, 2)]
)
def test_what_is_accepted_a_transposed_convolution_rebuilds(size, patch, stride):
    image = torch.zeros(1, 1, size)
    patches = torch.nn.Conv1d(1, 1, patch, stride)(image)
    assert check_tiling(size, patch, stride) == patches.shape[-1]
    assert torch.nn.ConvTranspose1d(1, 1, patch, stride)(patches).shape == image.shape


@pytest.mark.parametrize("size, patch, stride", [(28, 8, 8), (28, 8, 3), (10, 4, 4)])
def test_what_is_refused_comes_back_smaller(size, patch, stride):
    rebuilt = torch.nn.ConvTranspose1d(1, 1, patch, stride)(
        torch.nn.Conv1d(1, 1, patch, stride)(torch.zeros(1, 1, size))
    )
    with pytest.raises(ValueError, match=f"patches of {patch} .* rebuild {rebuilt.shape[-1]} of {size} pixels"):
        check_tiling(size, patch, stride)


@pytest.mark.parametrize("size, patch, stride", [(28, 4, 8), (28, 29, 1), (28, 0, 1), (28, 4, 0), (28, 4, -4)])
def test_gaps_and_impossible_sizes_are_refused(size, patch, stride):
    with pytest.raises(ValueError, match="leave gaps|must be from 1 to the image's 28"):
        check_tiling(size, patch, stride)

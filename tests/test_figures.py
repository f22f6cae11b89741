"""Figures hold what they are given: titles, images, curves."""

import numpy as np
import pandas as pd
import pytest
import torch

from siren_fastai.figures import fit_figure, mosaic, show_pictures


def test_images_are_drawn_side_by_side_under_their_names():
    figure = show_pictures({"target": torch.rand(4, 5, 3), "error": np.random.rand(4, 5, 3)})
    assert [ax.get_title() for ax in figure.axes[:2]] == ["target", "error"]


def test_unseen_pixels_are_transparent_and_values_are_clamped():
    image = torch.full((2, 2, 3), 2.0)
    image[0, 0] = torch.nan
    shown = show_pictures({"batch": image}).axes[0].images[0].get_array()
    assert shown[0, 0, 3] == 0 and (np.asarray(shown)[1, 1] == 1).all()


def test_volumes_show_slices_at_equal_distances_and_curves_their_values():
    volume = torch.stack([torch.full((3, 3, 1), i / 4) for i in range(5)])
    assert show_pictures({"volume": volume}).axes[0].images[0].get_array().mean() == 0.5
    assert len(show_pictures({"sound": torch.rand(10, 2)}).axes[0].lines) == 2


def test_a_mosaic_has_every_image_in_its_place_and_nan_between_them():
    images = torch.rand(5, 3, 4, 6)
    sheet = mosaic(images)
    assert sheet.shape == (2 * 4 + 1, 3 * 6 + 2, 3)  # two rows of three
    for i in range(5):
        top, left = i // 3 * 5, i % 3 * 7
        assert torch.equal(sheet[top : top + 4, left : left + 6].permute(2, 0, 1), images[i])
    assert sheet.isnan().sum() == sheet.numel() - images.numel()
    assert torch.equal(mosaic(images, columns=5, gap=0), torch.cat(list(images), 2).permute(1, 2, 0))
    with pytest.raises(ValueError, match="`images` must be"):
        mosaic(images[:0])


def test_a_fit_is_drawn_on_one_page():
    figure = fit_figure(torch.rand(8, 8, 3), torch.rand(8, 8, 3), [10.0, 31.26], [0.5, 2.0])
    assert "31.3 dB after 2.0 s" in figure.axes[3].get_title()
    assert fit_figure(torch.rand(8, 8, 1), torch.rand(8, 8, 1), pd.Series([10.0, 20.0]), pd.Series([1.0, 2.0]))


def test_there_must_be_an_axis_for_each_image():
    with pytest.raises(ValueError, match="`axes` must be one for each of the 2 signals, got 1"):
        show_pictures(
            {"a": torch.rand(2, 2, 3), "b": torch.rand(2, 2, 3)},
            axes=[show_pictures({"a": torch.rand(2, 2, 3)}).axes[0]],
        )


def test_a_figure_has_the_size_and_the_black_and_white_that_were_asked_for():
    gray, colour = torch.tensor([[[-1.0], [3.0]]]), torch.tensor([[[-1.0, 0.0, 1.0]]])
    figure = show_pictures({"gray": gray, "colour": colour}, figsize=(5, 2), value_range=(-1.0, 1.0))
    assert figure.get_size_inches().tolist() == [5, 2]
    assert figure.axes[0].images[0].get_clim() == (-1, 1)
    assert figure.axes[1].images[0].get_array()[0, 0].tolist() == [0, 0.5, 1, 1]

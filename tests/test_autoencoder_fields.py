"""Colour fields: what they draw exactly, which expert an image gets, reading at positions, the start from images."""

import numpy as np
import pytest
import torch

from siren_fastai.autoencoder import pca
from siren_fastai.autoencoder.color_fields import ColorFields, count_chroma
from siren_fastai.autoencoder.decoders.fields import FieldsDecoder
from siren_fastai.autoencoder.encoders.fields import FieldsEncoder
from siren_fastai.autoencoder.experts import Experts
from siren_fastai.autoencoder.fields_start import fields_autoencoder, fit_experts_
from siren_fastai.autoencoder.pca import as_floats, fit_pca, principal_axes
from siren_fastai.autoencoder.refine import enlarged, refined
from siren_fastai.datasets.tiles import tile_images

pytestmark = pytest.mark.numerics

EXPERTS = ((2, 2), (1, 1))


def noise(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def n_parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.fixture(scope="module")
def tiles():
    return tile_images(480, seed=3, size=16)[0]


@pytest.fixture(scope="module")
def started(tiles):
    return fields_autoencoder(tiles[:400], 40, ((4, 1), (2, 2), (1, 1)))


# --- principal components


@pytest.mark.parametrize("n", [50, 6])  # more samples than values, and fewer
def test_axes_are_those_of_the_singular_value_decomposition(n):
    samples = noise(n, 7, seed=1) @ noise(7, 7, seed=2)
    mean, axes = principal_axes(samples, 3)
    expected = np.linalg.svd((samples - samples.mean(0)).numpy(), full_matrices=False)[2][:3]
    torch.testing.assert_close(mean, samples.mean(0))
    np.testing.assert_allclose(np.abs(axes.numpy() @ expected.T), np.eye(3), atol=2e-3)


def test_many_values_and_samples_give_nearly_the_same_axes_and_draw_nothing_from_the_callers_generator(monkeypatch):
    samples = noise(200, 60, seed=1) @ torch.diag(0.8 ** torch.arange(60.0))
    mean, exact = principal_axes(samples, 6)
    monkeypatch.setattr(pca, "EXACT", 50)
    state = torch.get_rng_state()
    found_mean, found = principal_axes(samples, 6)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(principal_axes(samples, 6)[1], found)
    torch.testing.assert_close(found_mean, mean)
    torch.testing.assert_close((found @ exact.T).abs(), torch.eye(6), atol=1e-2, rtol=0)


def test_an_integer_weight_is_so_many_copies():
    samples, weights = noise(30, 5), torch.arange(30) % 3
    mean, axes = principal_axes(samples, 2, weights.float())
    copies_mean, copies_axes = principal_axes(samples.repeat_interleave(weights, 0), 2)
    torch.testing.assert_close(mean, copies_mean)
    torch.testing.assert_close((axes @ copies_axes.T).abs(), torch.eye(2), atol=1e-3, rtol=0)


def test_pca_of_bytes_and_floats_is_one_and_its_error_is_what_the_other_components_explain(tiles):
    images = as_floats(tiles)
    fitted = fit_pca(tiles, 20)
    torch.testing.assert_close(fitted.mean, fit_pca(images, 20).mean)
    flat = images.flatten(1)
    spectrum = torch.linalg.svdvals(flat - flat.mean(0)) ** 2
    error = (fitted.encode(images) @ fitted.axes + fitted.mean - flat).square().sum()
    assert error.item() == pytest.approx(spectrum[20:].sum().item(), rel=1e-3)
    drawn = fitted.decode(fitted.encode(images))
    assert drawn.shape == images.shape
    assert drawn.min() >= 0 and drawn.max() <= 1


def test_pca_says_what_it_cannot_do():
    with pytest.raises(TypeError, match=r"\(n, channels, height, width\), got \(3, 8, 8\)"):
        fit_pca(torch.rand(3, 8, 8), 2)
    with pytest.raises(TypeError, match="uint8, or float"):
        fit_pca(torch.zeros(9, 1, 2, 2, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match="5 components need at least 6 images of 5 values, got 4 of 12"):
        fit_pca(torch.rand(4, 3, 2, 2), 5)
    with pytest.raises(ValueError, match="RGB"):
        fit_pca(torch.rand(9, 3, 4, 4), 2).encode(torch.rand(1, 1, 4, 4))


# --- one map of fields


@pytest.mark.parametrize("channels", [1, 3])
def test_with_as_many_values_as_pixels_every_image_is_drawn_exactly(channels):
    images = noise(4, channels, 3, 4)
    fields = ColorFields(12 * channels + 2, channels, (3, 4))
    torch.testing.assert_close(fields.synthesise(fields.analyse(images)), images, atol=2e-5, rtol=0)


def test_chroma_that_follows_luma_needs_no_values_of_its_own():
    luma = noise(6, 1, 3, 3)
    images = torch.cat([0.9 * luma, 0.5 * luma, 0.1 * luma], 1)
    fields = ColorFields(2 + 9 + 1, 3, (3, 3))
    torch.nn.init.zeros_(fields.chroma_fields)
    torch.testing.assert_close(fields.synthesise(fields.analyse(images)), images, atol=2e-3, rtol=0)
    gray_of = ColorFields(2 + 9 + 1, 3, (3, 3)).requires_grad_(False)
    gray_of.luma_fields.copy_(fields.luma_fields), gray_of.chroma_fields.zero_()
    values = gray_of.analyse(images)
    values[:, :2] = 0
    assert (gray_of.synthesise(values) - images).abs().mean() > 0.05  # the slopes carry the colour


def test_values_that_a_small_grid_has_no_use_for_are_zero_and_ignored():
    fields = ColorFields(10, 1, (2, 2))
    values = fields.analyse(noise(3, 1, 2, 2))
    assert values.shape == (3, 10)
    assert (values[:, 4:] == 0).all()
    torch.testing.assert_close(fields.synthesise(values + torch.tensor([0.0] * 4 + [1.0] * 6)), noise(3, 1, 2, 2))


def test_fitted_luma_is_the_pca_of_gray_images():
    images = noise(40, 1, 4, 4)
    fields = ColorFields(5, 1, (4, 4)).fit_(images, torch.ones(40))
    fitted = fit_pca(images, 5)
    drawn = fields.synthesise(fields.analyse(images)).clamp(0, 1)
    torch.testing.assert_close(drawn, fitted.decode(fitted.encode(images)), atol=1e-4, rtol=0)


def test_aligned_fields_draw_the_same_from_values_near_the_references():
    images = noise(200, 3, 4, 4, seed=5)
    reference, fields = (ColorFields(14, 3, (4, 4)).fit_(images, torch.ones(200)) for _ in range(2))
    with torch.no_grad():
        for fields_ in (fields.luma_fields, fields.chroma_fields):
            fields_.copy_(torch.linalg.qr(torch.randn(len(fields_), len(fields_)))[0] @ fields_)
        drawn, wanted = fields.synthesise(fields.analyse(images)), reference.analyse(images)
        assert (fields.analyse(images) - wanted).abs().max() > 0.3
        fields.align_(fields.analyse(images), wanted)
    torch.testing.assert_close(fields.analyse(images), wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(fields.synthesise(fields.analyse(images)), drawn, atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_is_autograds_and_the_curvature_is_the_diagonal_of_the_gauss_newton_matrix(channels):
    fields = ColorFields(12, channels, (2, 3)).double()
    values = torch.randn(2, 12, dtype=torch.float64).requires_grad_()
    of_images = torch.randn(2, channels, 2, 3, dtype=torch.float64)
    (expected,) = torch.autograd.grad(fields.synthesise(values), values, of_images)
    torch.testing.assert_close(fields.gradient(values, of_images), expected)
    jacobian = torch.autograd.functional.jacobian(lambda v: fields.synthesise(v[None])[0].flatten(), values[0])
    diagonal, used = jacobian.square().sum(0), jacobian.abs().sum(0) > 0
    torch.testing.assert_close(fields.curvature(values)[0][used], diagonal[used], rtol=1e-4, atol=1e-4)


# --- towards the lowest L1


def test_refined_values_find_the_image_under_a_few_wrong_pixels():
    fields = ColorFields(6, 1, (8, 8)).requires_grad_(False)
    truth = torch.randn(4, 6)
    images = 0.5 + 0.1 * (fields.synthesise(truth) - 0.5)
    clean = fields.analyse(images)
    broken = images.clone()
    broken[:, :, 1, 2:6] = 1.0
    first = fields.analyse(broken)
    found = refined(fields, 1, broken, first, 200)
    assert (found - clean).abs().max() < 0.1 * (first - clean).abs().max()


@pytest.mark.parametrize("cell", [1, 2])
def test_refining_lowers_the_l1_of_every_image_and_no_steps_change_nothing(cell):
    images = noise(30, 3, 8, 8, seed=4).square()
    fields = ColorFields(20, 3, (8 // cell, 8 // cell)).requires_grad_(False)
    values = fields.analyse(torch.nn.functional.avg_pool2d(images, cell))

    def l1(v):
        return (enlarged(fields.synthesise(v), cell).clamp(0, 1) - images).abs().mean((1, 2, 3))

    assert (l1(refined(fields, cell, images, values, 20)) < l1(values)).all()
    assert refined(fields, cell, images, values, 0) is values


def test_a_projection_trains_and_refined_codes_are_what_only_a_decoder_learns_from(tiles, started):
    images = noise(6, 3, 4, 4)
    assert FieldsEncoder((3, 4, 4), 20, EXPERTS)(images).requires_grad
    assert not FieldsEncoder((3, 4, 4), 20, EXPERTS, steps=2)(images).requires_grad
    assert started(as_floats(tiles[:5])).requires_grad


# --- experts


def test_an_enlarged_image_gets_an_expert_of_its_grid_and_comes_back_exactly():
    experts = Experts((1, 8, 8), 20, EXPERTS)
    images = enlarged(noise(5, 1, 4, 4), 2)
    code = experts.encode(images)
    assert code.shape == (5, 20)
    chosen = [(row == experts.choices).all(1).nonzero().item() for row in code[:, experts.n_values :]]
    assert all(experts.cells[i] == 2 for i in chosen)
    drawn = sum(enlarged(grid, cell) for cell, grid in experts.decode(code).items())
    torch.testing.assert_close(drawn, images, atol=1e-4, rtol=0)


def test_a_code_between_two_choices_draws_half_of_each():
    experts = Experts((1, 4, 4), 12, ((1, 2),))
    values = torch.randn(1, experts.n_values)
    ends = [torch.cat([values, choice[None]], 1) for choice in experts.choices]
    one, other, between = (experts.decode(code)[1] for code in (*ends, sum(ends) / 2))
    torch.testing.assert_close(between, (one + other) / 2)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(shape=(3, 30, 32), experts=((4, 1),)), "cells of 4 pixels don't divide 30 x 32"),
        (dict(shape=(2, 32, 32)), "1 or 3 channels, got 2"),
        (dict(code_size=5), "`code_size` must be 6 or more for these experts, got 5"),
        (dict(experts=()), "one pair or more"),
        (dict(experts=((0, 1),)), "`experts` must be an integer of 1 or more, got 0"),
    ],
)
def test_experts_refuse_what_they_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        FieldsEncoder(**settings)


def test_the_default_is_within_the_notes_parameters():
    assert n_parameters(FieldsDecoder()) == n_parameters(FieldsEncoder()) == 275072 <= 293891
    assert count_chroma(99, 3) == (2, 12) and count_chroma(99, 1) == (0, 0)


# --- positions


def test_pixels_read_at_their_positions_are_the_image_and_coarse_cells_stay_flat_when_drawn_larger():
    decoder = FieldsDecoder(20, 1, (8, 8), EXPERTS).eval()
    images = enlarged(noise(3, 1, 4, 4), 2)
    code = decoder.experts.encode(images)
    torch.testing.assert_close(decoder(code), images, atol=1e-4, rtol=0)
    index = torch.tensor([5, 60, 17])
    colors = decoder.at(code, decoder.grid_positions()[index])
    torch.testing.assert_close(colors, images.flatten(2)[:, :, index].transpose(1, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(decoder(code, (24, 24)), enlarged(images, 3), atol=1e-4, rtol=0)
    own = decoder.grid_positions()[index].expand(3, 3, 2)
    torch.testing.assert_close(decoder.at(code, own), colors)


def test_the_finest_grid_is_bilinear():
    decoder = FieldsDecoder(5, 1, (2, 2), ((1, 1),)).eval()
    image = torch.tensor([[[[0.2, 0.4], [0.6, 0.8]]]])
    code = decoder.experts.encode(image)
    torch.testing.assert_close(decoder.at(code, torch.zeros(1, 2)), torch.tensor([[[0.5]]]))
    torch.testing.assert_close(decoder.at(code, torch.tensor([[-0.5, 0.0]])), torch.tensor([[[0.3]]]))


def test_colors_are_clamped_and_still_learn():
    decoder = FieldsDecoder(8, 1, (2, 2), ((1, 1),))
    code = torch.zeros(1, 8)
    with torch.no_grad():
        decoder.experts.fields[0].luma_mean.fill_(1.7)
    drawn = decoder(code)
    assert (drawn == 1).all()
    (drawn - 0.5).abs().sum().backward()
    assert (decoder.experts.fields[0].luma_mean.grad == 1).all()


# --- the start


def test_before_training_it_is_below_pca_on_tiles_it_has_not_seen(tiles, started):
    seen, unseen = as_floats(tiles[:400]), as_floats(tiles[400:])
    fitted = fit_pca(seen, 40)
    l1_of_pca = (fitted.decode(fitted.encode(unseen)) - unseen).abs().mean()
    with torch.no_grad():
        l1 = (started.eval()(unseen) - unseen).abs().mean()
    assert l1 < 0.85 * l1_of_pca


def test_codes_have_mean_zero_and_the_spread_that_code_spread_wants(tiles, started):
    with torch.no_grad():
        experts = started.encoder.experts
        values = experts.encode(as_floats(tiles[:400]))[:, : experts.n_values]
    torch.testing.assert_close(values.mean(0), torch.zeros(values.shape[1]), atol=1e-3, rtol=0)
    torch.testing.assert_close(values.std(0), torch.full_like(values[0], 0.5), atol=1e-3, rtol=0)


def test_every_expert_has_images_and_both_sides_share_the_fields(tiles, started):
    with torch.no_grad():
        choice = started.encode(as_floats(tiles[:400]))[:, started.encoder.experts.n_values :]
    assert len(choice.unique(dim=0)) == 4
    assert n_parameters(started) == n_parameters(started.encoder) == n_parameters(started.decoder)


def test_the_start_is_repeatable_and_training_goes_on_from_it(tiles):
    first, again = (fields_autoencoder(tiles[:120], 24, EXPERTS, seed=1) for _ in range(2))
    images = as_floats(tiles[:120])
    with torch.no_grad():
        torch.testing.assert_close(first(images), again(images), atol=1e-4, rtol=0)
    opt, losses = torch.optim.Adam(first.parameters(), lr=1e-4), []
    for _ in range(8):
        losses.append((first(images) - images).abs().mean())
        opt.zero_grad()
        losses[-1].backward()
        opt.step()
    assert losses[-1] < losses[0]
    assert first.encoder.experts.fields[0].luma_fields.grad.abs().sum() > 0


def test_images_that_no_coarse_grid_is_exact_for_and_too_few_images():
    experts = fit_experts_(Experts((1, 4, 4), 8, EXPERTS), noise(30, 1, 4, 4))
    assert torch.isfinite(experts.encode(noise(5, 1, 4, 4, seed=9))).all()
    with pytest.raises(ValueError, match="8 code values need more than 6 images, got 6"):
        fields_autoencoder(noise(6, 1, 4, 4), 8, EXPERTS)

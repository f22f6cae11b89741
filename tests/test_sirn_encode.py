"""From networks to files: bits within the budget, and files that hold exactly the network that was quantised."""

import copy

import numpy as np
import pytest
import torch
from learners import picture, pixel_learner
from sirn_files import labels

from siren_fastai.coords import grid_coords
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import psnr
from siren_fastai.quantize.allocate import choose_quantizers, sample_error, side_bits
from siren_fastai.quantize.entropy import code_length, fit_model
from siren_fastai.quantize.quantizers import BITS, dequantize, fit_quantizer, quantize
from siren_fastai.render import render
from siren_fastai.sirn.decode import decompress
from siren_fastai.sirn.encode import encoded_of
from siren_fastai.sirn.format import Denoise, write

pytestmark = pytest.mark.numerics

SIZE = (16, 24)


def samples():
    return grid_coords(SIZE), torch.from_numpy(picture(*SIZE)).flatten(0, 1)


@torch.no_grad()
def rounded(model, quantizers):
    """A copy with quantised parameters, by the formula."""
    model = copy.deepcopy(model)
    for name, parameter in model.named_parameters():
        q = quantizers[name]
        limit = 2 ** (q.bits - 1) - 1
        parameter.copy_((parameter / q.step).round().clamp(-limit, limit) * q.step)
    return model


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    learn = pixel_learner(tmp_path_factory.mktemp("fitted"), dims=(2, 24, 24, 3), size=SIZE, bs=384)
    learn.fit(60, 3e-3)  # to the PSNR of a small file: the nearer to exact, the more a rounded weight costs
    return learn.model.cpu()


def test_the_error_is_the_mean_squared_one_and_leaves_no_gradients():
    coords, values = samples()
    model = siren_model([2, 8, 3])
    expected = np.mean((model(coords).detach().numpy() - values.numpy()) ** 2)
    assert sample_error(coords, values)(model) == pytest.approx(expected, rel=1e-5)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("budget", [2500, 3500, 5000])
def test_the_chosen_bits_fit_the_budget_and_a_larger_one_errs_less(budget, fitted):
    model, error = fitted, sample_error(*samples())
    quantizers = choose_quantizers(model, error, budget)
    spent = 0
    for name, parameter in model.named_parameters():
        symbols = quantize(parameter, quantizers[name])
        spent += code_length(symbols, fit_model(symbols)) + side_bits(int(symbols.abs().max()))
    assert quantizers.keys() == dict(model.named_parameters()).keys() and 0.8 * budget < spent <= budget
    more = rounded(model, choose_quantizers(model, error, 1.3 * budget))
    assert error(model) < error(more) < error(rounded(model, quantizers))


def test_a_budget_below_two_bits_for_each_weight_is_refused():
    with pytest.raises(ValueError, match="`budget_bits` must be at least"):
        choose_quantizers(siren_model([2, 8, 3]), sample_error(*samples()), 50)


def test_the_file_holds_exactly_the_quantised_network():
    model = siren_model([2, 12, 6, 3], 20.0, 15.0)
    model[-1].bias.data.fill_(0.5)
    quantizers = {name: fit_quantizer(p, 4 + i) for i, (name, p) in enumerate(model.named_parameters())}
    data = write(encoded_of(model, SIZE, quantizers))
    assert torch.equal(decompress(data), render(rounded(model, quantizers), SIZE))


def test_without_quantisers_weights_are_halves():
    model = siren_model([2, 8, 3])
    expected = render(copy.deepcopy(model).half().float(), SIZE)
    assert torch.equal(decompress(write(encoded_of(model, SIZE, None))), expected)


def test_mean_and_denoiser_are_kept():
    mean = torch.tensor([0.25, 0.5, 0.75])
    encoded = encoded_of(siren_model([2, 8, 3]), SIZE, None, mean, denoise=Denoise("median", 1.0))
    assert encoded.mean == (0.25, 0.5, 0.75) and encoded.denoise.method == "median"


def test_networks_of_clusters_are_stored_in_their_order():
    marks = labels(k=3, use="network")
    model = ClusterNetworks([siren_model([2, 6, 6, 1]) for _ in range(3)], torch.from_numpy(marks.map.astype(int)))
    quantizers = {name: fit_quantizer(p, 6) for name, p in model.named_parameters()}
    data = write(encoded_of(model, SIZE, quantizers, labels=marks))
    assert torch.equal(decompress(data), render(rounded(model, quantizers), SIZE))


def test_more_bits_of_a_fitted_network_give_more_and_eight_lose_less_than_a_decibel(fitted):
    model, target, found = fitted, picture(*SIZE), []
    whole = psnr(render(model, SIZE), target)
    for bits in BITS:
        quantizers = {name: fit_quantizer(p, bits) for name, p in model.named_parameters()}
        for name, p in model.named_parameters():
            again = quantize(dequantize(quantize(p, quantizers[name]), quantizers[name]), quantizers[name])
            assert torch.equal(again, quantize(p, quantizers[name]))
        data = write(encoded_of(model, SIZE, quantizers))
        image = decompress(data)
        assert torch.equal(image, render(rounded(model, quantizers), SIZE))
        found.append(psnr(image, target))
    assert all(b > a - 0.1 for a, b in zip(found[:-1], found[1:], strict=True)), found
    assert whole > 20 and found[BITS.index(8)] > whole - 1 and found[0] < whole - 3

"""Floating-point operations of a network, against the counts that follow from its widths."""

import pytest
import torch

from siren_fastai.freeze import freeze_
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.flops import forward_flops, training_flops
from siren_fastai.models.siren import siren_model
from siren_fastai.models.widths import scale_widths

TAPER = [2, 256, 128, 64, 32, 3]


def products(dims):
    return [a * b for a, b in zip(dims[:-1], dims[1:], strict=True)]


@pytest.mark.parametrize("dims", [[2, 5, 3], [2, 16, 8, 3], TAPER], ids=str)
@pytest.mark.parametrize("n", [1, 7])
def test_a_chain_takes_two_operations_per_weight_forward_and_six_in_training_less_the_inputs_gradient(dims, n):
    model, coords, macs = siren_model(dims), torch.rand(n, 2), products(dims)
    assert forward_flops(model, coords) == 2 * n * sum(macs)
    assert training_flops(model, coords) == n * (6 * sum(macs) - 2 * macs[0])
    assert all(p.grad is None for p in model.parameters())


def test_twice_the_width_takes_3_97_times_the_operations_of_a_taper():
    one, two = (forward_flops(siren_model(scale_widths(TAPER, m)), torch.rand(4, 2)) for m in (1, 2))
    assert two / one == pytest.approx(173_248 / 43_616)


def test_frozen_layers_save_the_gradients_of_their_weights():
    model, macs = siren_model([2, 16, 8, 3]), products([2, 16, 8, 3])
    freeze_(model, [0, 1])
    assert training_flops(model, torch.rand(5, 2)) == 5 * (2 * sum(macs) + 2 * macs[2])


def test_of_several_networks_each_sample_goes_through_one():
    nets, labels = [siren_model([2, 16, 8, 3]) for _ in range(2)], torch.tensor([[0, 1]])
    coords = torch.tensor([[0.0, -0.5], [0.0, 0.5], [0.3, 0.7]])
    assert forward_flops(ClusterNetworks(nets, labels), coords) == 3 * 2 * sum(products([2, 16, 8, 3]))

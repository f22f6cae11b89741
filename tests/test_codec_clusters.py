"""Clusters of the codec: labels of cells, and cells that change to the network that errs least."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import picture

from siren_fastai.codec.clusters import Clusters, cell_labels, reassign_
from siren_fastai.coords import grid_coords
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.siren import siren_model

pytestmark = pytest.mark.numerics


@pytest.mark.parametrize(
    "options, message",
    [
        ({"k": 0}, "`k` must be from 1 to 256"),
        ({"k": 257}, "got 257 and 16"),
        ({"k": 2.0}, "`k` must be"),
        ({"k": True}, "`k` must be"),
        ({"k": 2, "cell": 0}, "`cell` at least 1, got 2 and 0"),
        ({"k": 2, "cell": 1.5}, "`cell`"),
        ({"k": 2, "by": "hue"}, "`by` must be one of .*'hue'"),
        ({"k": 2, "use": "scalar"}, "`use` one of .*'scalar'"),
        ({"k": 2, "by": "error"}, "use='network'"),
    ],
)
def test_what_is_no_way_to_cluster_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Clusters(**options)


def test_labels_are_those_of_the_cells_mean_colours():
    image = torch.zeros(16, 24, 3)
    image[:, 8:] = 0.9  # two thirds, so the first label
    labels = cell_labels(image + torch.rand(16, 24, 3) * 0.1, Clusters(2, cell=8))
    assert labels.dtype == torch.int64 and labels.tolist() == [[1, 0, 0], [1, 0, 0]]


def test_the_last_cells_may_be_smaller():
    assert cell_labels(torch.from_numpy(picture(17, 24)), Clusters(3, cell=8)).shape == (3, 3)


def test_more_clusters_than_cells_are_refused():
    with pytest.raises(ValueError, match="distinct"):
        cell_labels(torch.from_numpy(picture(16, 24)), Clusters(4, cell=16))


def a_model(k, cells, seed, channels=3):
    torch.manual_seed(seed)
    models = [siren_model([2, 6, channels]) for _ in range(k)]
    return ClusterNetworks(models, torch.randint(k, cells))


def error_of(model, coords, values):
    with torch.no_grad():
        return (model(coords) - values).double().square().mean().item()


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 4),
    st.sampled_from([1, 3]),
    st.integers(0, 1000),
)
@settings(max_examples=30)
def test_the_error_never_rises_and_is_the_one_that_is_returned(size, cells, k, channels, seed):
    model = a_model(k, cells, seed, channels)
    coords, values = grid_coords(size), torch.rand(size[0] * size[1], channels)
    before = error_of(model, coords, values)
    found = reassign_(model, coords, values, chunk=37)
    after = error_of(model, coords, values)
    assert found == pytest.approx((before, after), rel=1e-5) and after <= before * (1 + 1e-6)
    assert model.features.shape == (*cells, 1) and model.features.dtype == torch.int64
    assert reassign_(model, coords, values)[1] == pytest.approx(after, rel=1e-5), "a second time changes nothing"


def test_each_cell_goes_to_the_network_of_least_error():
    model, coords, values = a_model(3, (4, 6), 0), grid_coords((16, 24)), torch.rand(384, 3)
    with torch.no_grad():
        maps = [(net(coords) - values).square().sum(1).view(4, 4, 6, 4).sum((1, 3)) for net in model]
    reassign_(model, coords, values)
    np.testing.assert_array_equal(model.features[..., 0].numpy(), torch.stack(maps).argmin(0).numpy())


def test_cells_stay_where_networks_are_equal_or_no_pixel_is():
    net = siren_model([2, 6, 3])
    model = ClusterNetworks([net, net], torch.tensor([[1, 0, 1], [0, 1, 0]]))
    reassign_(model, grid_coords((2, 3)), torch.rand(6, 3))
    assert model.features[..., 0].tolist() == [[1, 0, 1], [0, 1, 0]]
    model = a_model(2, (5, 5), 1)
    labels = model.features.clone()
    reassign_(model, torch.tensor([[-0.9, -0.9]]), torch.rand(1, 3))
    assert torch.equal(model.features.flatten()[1:], labels.flatten()[1:])

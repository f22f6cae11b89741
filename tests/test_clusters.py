"""Clusters that are there are found, features are exact, bad input is refused."""

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from siren_fastai import clusters
from siren_fastai.clusters import kmeans_labels, label_entropy, label_features
from siren_fastai.coords import append_features, grid_coords

pytestmark = pytest.mark.numerics


def patches(height=16):
    """An image of three flat colours of 6, 9 and 1 columns, a little noise on them; and the truth."""
    truth = torch.zeros(height, 16, dtype=torch.int64)
    truth[:, :6], truth[:, 15:] = 1, 2
    colours = torch.tensor([[0.1, 0.2, 0.9], [0.9, 0.1, 0.1], [0.2, 0.9, 0.3]])
    return colours[truth] + 0.01 * torch.randn(height, 16, 3), truth


def test_colours_that_are_apart_are_found_the_largest_first():
    image, truth = patches()
    labels = kmeans_labels(image, 3)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, truth)


@pytest.mark.parametrize("by", clusters.KMEANS_BASES)
def test_labels_repeat_with_their_seed_and_come_in_order_of_size(by):
    image = torch.rand(16, 24, 3)
    labels = kmeans_labels(image, 5, by, seed=1)
    assert torch.equal(labels, kmeans_labels(image, 5, by, seed=1))
    assert torch.equal(labels, kmeans_labels(image.numpy(), 5, by, seed=1))
    sizes = labels.flatten().bincount()
    assert len(sizes) == 5 and sizes.min() > 0 and torch.equal(sizes, sizes.sort(descending=True).values)


def test_each_pixel_has_the_label_of_the_nearest_mean():
    image = torch.rand(16, 16, 3)
    labels = kmeans_labels(image, 4)
    means = torch.stack([image[labels == i].mean(0) for i in range(4)])
    nearest = torch.cdist(image.view(-1, 3), means).argmin(1).view(16, 16)
    assert (nearest == labels).float().mean() > 0.99


def test_clusters_are_as_tight_as_scikit_learns():
    image = torch.rand(16, 16, 3)

    def spread(labels):
        return sum(((image[labels == i] - image[labels == i].mean(0)) ** 2).sum() for i in range(4))

    reference = KMeans(4, n_init=10, random_state=7).fit(image.view(-1, 3).numpy())
    assert spread(kmeans_labels(image, 4)) < 1.1 * spread(torch.from_numpy(reference.labels_).view(16, 16))


def test_position_splits_a_picture_of_one_colour_and_its_weight_counts():
    flat = torch.full((16, 32, 3), 0.5)
    labels = kmeans_labels(flat, 2, by="color+position")
    assert labels.flatten().bincount().tolist() == [256, 256]
    image = torch.zeros(16, 16, 1)
    image[::2] = 0.5
    rows = torch.arange(16).view(16, 1).expand(16, 16)
    by_colour = kmeans_labels(image, 2, by="color+position", position_weight=0.01)
    assert torch.equal(by_colour == by_colour[0, 0], rows % 2 == 0)
    by_place = kmeans_labels(image, 2, by="color+position", position_weight=10.0)
    assert by_place.flatten().bincount().tolist() == [128, 128] and not torch.equal(by_place, by_colour)


def test_large_images_are_learned_from_a_sample_and_labelled_whole():
    image, truth = patches(height=9000)
    assert truth.numel() > clusters.FIT_PIXELS
    assert torch.equal(kmeans_labels(image, 3), truth)


def test_one_cluster_is_the_plain_model():
    labels = kmeans_labels(torch.rand(4, 5, 3), 1)
    assert labels.dtype == torch.int64 and torch.equal(labels, torch.zeros(4, 5, dtype=torch.int64))
    coords = grid_coords((4, 5))
    for use in clusters.LABEL_USES:
        features = label_features(labels, 1, use)
        assert features.shape == (20, 0) and features.dtype == torch.float32
        assert torch.equal(append_features(coords, features), coords)


def test_more_clusters_than_colours_are_refused():
    image = torch.zeros(4, 4, 3)
    image[0] = 1
    assert kmeans_labels(image, 2).flatten().bincount().tolist() == [12, 4]
    with pytest.raises(ValueError, match="at most the number of distinct pixels, 2, got 3"):
        kmeans_labels(image, 3)


@pytest.mark.parametrize("k", [0, -1, True, 70_000])
def test_counts_are_checked(k):
    for call in (lambda: kmeans_labels(torch.rand(4, 4, 3), k), lambda: label_features(torch.zeros(4, 4).long(), k)):
        with pytest.raises(ValueError, match="`k` must be an int from 1"):
            call()


def test_pictures_and_names_are_checked():
    with pytest.raises(ValueError, match="`by` must be one of .*got 'colour'"):
        kmeans_labels(torch.rand(4, 4, 3), 2, by="colour")
    with pytest.raises(ValueError, match=r"must be \(h, w, c\).*got \(4, 4\)"):
        kmeans_labels(torch.rand(4, 4), 2)
    with pytest.raises(ValueError, match="must be finite, got 48 NaN"):
        kmeans_labels(torch.full((4, 4, 3), math.nan), 2)
    with pytest.raises(ValueError, match="`position_weight` must be"):
        kmeans_labels(torch.rand(4, 4, 3), 2, by="color+position", position_weight=-1)


def test_onehot_and_scalar_features_follow_raster_order():
    labels = torch.tensor([[0, 1], [3, 2]])
    assert torch.equal(label_features(labels, 4), torch.eye(4)[[0, 1, 3, 2]])
    scalar = label_features(labels, 4, use="scalar")
    torch.testing.assert_close(scalar, torch.tensor([[0.0], [1 / 3], [1.0], [2 / 3]]))
    assert label_features(labels.numpy().astype(np.uint8), 4).dtype == scalar.dtype == torch.float32


def test_features_check_their_labels():
    with pytest.raises(ValueError, match="from 0 to k - 1 = 1, got 0 to 2"):
        label_features(torch.tensor([[0, 2]]), 2)
    with pytest.raises(ValueError, match="got -1 to 0"):
        label_features(torch.tensor([[0, -1]]), 2)
    with pytest.raises(TypeError, match="must be integers, got float32"):
        label_features(torch.zeros(2, 2), 2)
    with pytest.raises(ValueError, match="`use` must be one of .*'scalar'.*, got 'hot'"):
        label_features(torch.zeros(2, 2).long(), 2, "hot")


def test_entropy_is_that_of_the_frequencies():
    assert label_entropy(torch.zeros(4, 4).long()) == 0
    assert label_entropy(torch.arange(16).view(4, 4)) == 4
    assert label_entropy(np.array([[0, 0, 0, 5]])) == pytest.approx(0.75 * math.log2(4 / 3) + 0.5)
    with pytest.raises(ValueError, match="must not be empty"):
        label_entropy(torch.zeros(0).long())

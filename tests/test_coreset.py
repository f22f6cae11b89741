"""The pixels that a fit may train on in place of all."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learners import picture

from siren_fastai.clusters import kmeans_labels
from siren_fastai.coreset import CORESETS, coreset, shares_of

IMAGE = torch.from_numpy(picture(14, 10))


@pytest.mark.parametrize("by", CORESETS)
def test_the_pixels_are_distinct_ascending_and_decided_by_the_seed(by):
    chosen = coreset(IMAGE, 35, by, k=8, seed=3)
    assert len(chosen) == 35 and (chosen.diff() > 0).all() and 0 <= chosen[0] and chosen[-1] < 140
    assert torch.equal(chosen, coreset(IMAGE, 35, by, k=8, seed=3))
    assert torch.equal(coreset(IMAGE, 140, by, k=8), torch.arange(140)), "all of them"
    if by != "nearest":
        assert not torch.equal(chosen, coreset(IMAGE, 35, by, k=8, seed=4))


@pytest.mark.parametrize("by", ["stratified", "nearest"])
def test_each_cluster_gives_its_share(by):
    labels = kmeans_labels(IMAGE, 8, "color+position", seed=0).flatten()
    sizes = torch.bincount(labels, minlength=8)
    counts = torch.bincount(labels[coreset(IMAGE, 42, by, k=8)], minlength=8)
    assert torch.equal(counts, shares_of(sizes, 42))
    assert ((counts - sizes * 42 / 140).abs() < 1).all()


def test_nearest_takes_the_pixels_next_to_the_centre_of_their_cluster():
    labels = kmeans_labels(IMAGE, 5, "color+position", seed=0).flatten()
    rows, columns = torch.meshgrid(torch.arange(14) / 13, torch.arange(10) / 9, indexing="ij")
    pixels = torch.cat([IMAGE, rows[..., None], columns[..., None]], -1).reshape(140, 5).double()
    chosen = set(coreset(IMAGE, 50, "nearest", k=5).tolist())
    for i in range(5):
        own = (labels == i).nonzero().flatten()
        distance = (pixels[own] - pixels[own].mean(0)).norm(dim=1)
        inside = torch.tensor([pixel in chosen for pixel in own.tolist()])
        assert distance[inside].max() <= distance[~inside].min()


@given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=9), data=st.data())
def test_shares_add_up_and_are_never_more_than_there_is(sizes, data):
    if sum(sizes) == 0:
        return
    n = data.draw(st.integers(0, sum(sizes)))
    shares = shares_of(torch.tensor(sizes), n)
    assert shares.sum() == n and (shares <= torch.tensor(sizes)).all() and (shares >= 0).all()


def test_bad_input_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match="from 1 to the 140 pixels"):
        coreset(IMAGE, 141)
    with pytest.raises(ValueError, match="from 1 to the 140 pixels"):
        coreset(IMAGE, 0)
    with pytest.raises(ValueError, match="`by` must be one of"):
        coreset(IMAGE, 5, "best")
    with pytest.raises(ValueError, match="distinct pixels"):
        coreset(torch.zeros(2, 2, 3), 2, "nearest", k=64)

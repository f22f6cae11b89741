"""Folds by group: the promises of scikit-learn's `GroupKFold`, a test set that no fold sees, and fastai's splitters."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from siren_fastai.datasets.split import FoldSplitter, group_folds


def folds(groups, k, test):
    return [[part.tolist() for part in group_folds(groups, k, fold, test)] for fold in range(k)]


@given(
    groups=st.lists(st.integers(-4, 12), min_size=1, max_size=60),
    k=st.integers(2, 5),
    test=st.sampled_from([0, 0.0, 0.25, 4]),
)
def test_folds_are_disjoint_cover_everything_and_keep_groups_together(groups, k, test):
    groups = torch.tensor(groups)
    try:
        parts = folds(groups, k, test)
    except ValueError:
        return
    everything, tested = list(range(len(groups))), parts[0][2]
    for train, valid, kept in parts:
        assert sorted(train + valid + kept) == everything and kept == tested and train and valid
        names = [set(groups[part].tolist()) for part in (train, valid, kept)]
        assert not names[0] & names[1] and not (names[0] | names[1]) & names[2]
    validated = sorted(i for _, valid, _ in parts for i in valid)
    assert validated == sorted(set(everything) - set(tested))  # each of them once
    sizes = [len(set(groups[valid].tolist())) for _, valid, _ in parts]
    assert max(sizes) - min(sizes) <= 1
    assert parts == folds(groups, k, test)


def test_groups_of_one_size_are_divided_as_scikit_learn_divides_them():
    groups = torch.arange(60).remainder(10)
    ours = {frozenset(valid) for _, valid, _ in folds(groups, 5, 0)}
    theirs = [valid.tolist() for _, valid in GroupKFold(5).split(groups, groups=groups)]
    assert sorted(map(len, ours)) == sorted(map(len, theirs)) == [12] * 5


def test_a_fifth_is_kept_apart_and_a_fifth_of_the_rest_validates():
    train, valid, test = group_folds(torch.arange(100), fold=3)
    assert [len(part) for part in (train, valid, test)] == [64, 16, 20]


def test_a_splitter_for_fastai_divides_items_by_what_they_come_from():
    items = [f"photo{i // 4}_{i % 4}.png" for i in range(40)]
    splitter = FoldSplitter(lambda name: name.split("_")[0], k=4, fold=1)
    train, valid = splitter(items)
    photos = [{items[i].split("_")[0] for i in part} for part in (train, valid, splitter.test(items))]
    assert [len(names) for names in photos] == [6, 2, 2]
    assert len(photos[0] | photos[1] | photos[2]) == 10
    alone = FoldSplitter(k=2, share=0)
    assert alone(items[:4]) == ([1, 3], [0, 2]) and alone.test(items) == []


@pytest.mark.parametrize(
    "options, message",
    [
        ({"k": 1}, "`k` 2 or more, got 0 of 1"),
        ({"fold": 5}, "`fold` must be an integer from 0 to `k` - 1"),
        ({"fold": True}, "`fold` must be an integer"),
        ({"k": 9, "fold": 1}, "9 folds need 9 groups or more, got 8 without those kept apart"),
        ({"test": 1.5}, "`test` must be an integer above 1"),
    ],
)
def test_folds_that_there_are_not_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        group_folds(torch.arange(10), **options)

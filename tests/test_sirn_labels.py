"""Label maps as bytes: exact inverses, small for maps of pictures, errors for what is no map or no stream of one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import picture

from siren_fastai.clusters import kmeans_labels, pack_labels
from siren_fastai.sirn.labels import decode_labels, encode_labels


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 4, 7, 256]), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_any_label_map_comes_back(height, width, k, seed):
    labels = np.random.default_rng(seed).integers(0, k, (height, width))
    data = encode_labels(labels, k)
    decoded = decode_labels(data, (height, width), k)
    assert np.array_equal(decoded, labels) and (data == b"") == (k == 1)


def test_a_map_of_a_picture_takes_fewer_bytes_than_packed_planes():
    labels = kmeans_labels(picture(64, 48), 4)
    data = encode_labels(labels, 4)
    assert len(data) < 0.75 * len(pack_labels(labels, 4))
    assert np.array_equal(decode_labels(data, (64, 48), 4), labels.numpy())


def test_long_runs_exceed_the_ceiling_of_counts_and_come_back():
    labels = np.zeros((60, 60), np.uint8)
    labels[30:, ::7] = 1
    data = encode_labels(torch.from_numpy(labels), 2)
    assert len(data) < 100 and np.array_equal(decode_labels(data, (60, 60), 2), labels)


def test_damaged_maps_are_errors():
    labels = np.random.default_rng(0).integers(0, 4, (9, 8))
    data = encode_labels(labels, 4)
    for damaged in (*(data[:n] for n in range(len(data))), data + b"\0\0\0\0", b"\xff" * 40):
        with pytest.raises(ValueError):
            decode_labels(damaged, (9, 8), 4)
    with pytest.raises(ValueError, match="too long"):
        decode_labels(data, (9, 8), 1)


def test_wrong_maps_are_refused():
    for k in (0, 257, True):
        with pytest.raises(ValueError, match="`k` must be from 1 to 256"):
            encode_labels(np.zeros((2, 2), int), k)
    with pytest.raises(ValueError, match="got 0 to 4"):
        encode_labels(np.array([[0, 4]]), 4)
    with pytest.raises(TypeError, match="integers"):
        encode_labels(np.zeros((2, 2)), 4)
    for shape in ((0, 3), (4,)):
        with pytest.raises(ValueError, match=r"\(h, w\) and not empty"):
            encode_labels(np.zeros(shape, int), 4)
        with pytest.raises(ValueError, match=r"\(h, w\) and not empty"):
            decode_labels(b"", shape, 4)

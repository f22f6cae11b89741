"""Label maps as bytes: exact inverses, small for maps of pictures, errors for what is no map or no stream of one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import picture

from siren_fastai.clusters import kmeans_labels, label_entropy
from siren_fastai.label_maps import decode_labels, encode_labels, pack_labels, unpack_labels


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 4, 7, 256]), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_any_label_map_comes_back(height, width, k, seed):
    labels = np.random.default_rng(seed).integers(0, k, (height, width))
    data = encode_labels(labels, k)
    decoded = decode_labels(data, (height, width), k)
    assert np.array_equal(decoded, labels) and (data == b"") == (k == 1)


def test_a_map_of_an_image_takes_fewer_bytes_than_its_entropy_without_neighbours():
    labels = kmeans_labels(picture(64, 48), 4)
    data = encode_labels(labels, 4)
    assert len(data) < 0.75 * label_entropy(labels) * labels.numel() / 8
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


# Maps on their own


@pytest.mark.parametrize("k", [1, 2, 3, 8, 200, 256])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 16)])
def test_packed_labels_come_back(k, shape):
    labels = torch.randint(k, shape)
    packed = pack_labels(labels, k)
    again = unpack_labels(packed)
    assert again.dtype == torch.int64 and torch.equal(again, labels)
    assert pack_labels(labels.numpy(), k) == packed and len(packed) == 9 + len(encode_labels(labels, k))


def test_every_truncation_and_addition_ends_in_a_value_error():
    data = pack_labels(torch.randint(5, (9, 7)), 5)
    for broken in (*(data[:n] for n in range(len(data))), data + b"more", data + bytes(4)):
        with pytest.raises(ValueError):
            unpack_labels(broken)


def test_every_flipped_byte_ends_in_a_value_error_or_a_valid_map():
    data = pack_labels(torch.randint(5, (9, 7)), 5)
    for i in range(len(data)):
        broken = bytearray(data)
        broken[i] ^= 0xFF
        try:
            labels = unpack_labels(bytes(broken), max_pixels=100)
        except ValueError:
            continue
        assert i >= 4 and 0 <= labels.min() and labels.max() < 256


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "expected a label map"),
        (b"\x89PNG" + bytes(40), "expected a label map"),
        (b"SLM1" + bytes(40), "expected a label map"),
        (b"SLM2" + bytes(4), "expected a label map"),
        (b"SLM2\xff\xff\xff\xff\x01", "65535x65535 pixels: expected 1 to 1048576"),
        (b"SLM2\0\0\4\0\1", "0x4 pixels"),
        (b"SLM2\4\0\4\0\1garbage", "whole words"),
        (b"SLM2\4\0\4\0\0more", "too long"),
    ],
)
def test_foreign_and_hostile_bytes_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        unpack_labels(data)


def test_packing_checks_its_labels():
    with pytest.raises(ValueError, match=r"\(h, w\) and not empty"):
        pack_labels(torch.zeros(4).long(), 2)
    with pytest.raises(ValueError, match="got 0 to 2"):
        pack_labels(torch.tensor([[0, 2]]), 2)
    with pytest.raises(TypeError, match="must be integers, got bool"):
        pack_labels(torch.zeros(2, 2).bool(), 2)
    with pytest.raises(ValueError, match="sides up to 65535"):
        pack_labels(np.zeros((1, 65536), np.uint8), 1)

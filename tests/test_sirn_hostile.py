"""Files that are damaged, foreign or hostile: a FormatError soon and in little memory, never wrong pixels."""

import io
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from sirn_files import encoded, reseal

from siren_fastai.sirn.decode import decode, decompress
from siren_fastai.sirn.format import FormatError, Limits, parts, read, write
from siren_fastai.sirn.reader import TRUSTED, varint

SMALL = Limits(pixels=1 << 12, parameters=1 << 13, layers=8, networks=8, width=64, cells=1 << 10, work=1 << 24)
GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.sirn"))
FILES = [path.read_bytes() for path in GOLDEN]
SECOND = 1.0  # for any refusal; generous clocks are for machines that do other things


def refused(data, message="byte", limits=None):
    """A FormatError that names a byte, within a second."""
    start = time.process_time()
    with pytest.raises(FormatError, match=message) as caught:
        decompress(data, limits)
    assert time.process_time() - start < SECOND and str(caught.value).startswith("byte ")


def survives(data):
    """Valid bytes are read, and mean what they say; others are refused; nothing else happens."""
    start = time.process_time()
    try:
        found = read(data, SMALL)
    except FormatError as error:
        assert str(error).startswith("byte ")
        return
    finally:
        assert time.process_time() - start < SECOND
    image = decode(found)
    assert image.shape == (found.height, found.width, found.channels)
    assert bool(torch.isfinite(image).all()) and 0 <= image.min() <= image.max() <= 1
    assert sum(n for _, n, _ in parts(data, SMALL)) == len(data)
    again = read(write(found), SMALL)
    assert torch.equal(decode(again), image)


@pytest.mark.parametrize("data", FILES, ids=[path.stem for path in GOLDEN])
def test_truncated_at_every_byte(data):
    for n in range(len(data)):
        refused(data[:n])


@pytest.mark.parametrize("data", FILES, ids=[path.stem for path in GOLDEN])
def test_every_bit_flipped(data):
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(bytes(damaged))


@pytest.mark.parametrize("data", FILES, ids=[path.stem for path in GOLDEN])
def test_bytes_added_or_lost(data):
    refused(data + b"\0")
    refused(b"\0" + data)
    for n in range(0, len(data), 3):
        refused(data[:n] + data[n + 1 :])


@pytest.mark.parametrize("data", FILES, ids=[path.stem for path in GOLDEN])
def test_truncated_at_every_byte_with_a_checksum_that_fits(data):
    for n in range(5, len(data) - 4):
        refused(reseal(data[:n] + bytes(4)), limits=SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("data", FILES, ids=[path.stem for path in GOLDEN])
def test_every_byte_changed_with_a_checksum_that_fits(data):
    for n in range(5, len(data) - 4):
        for value in (data[n] ^ 1, data[n] ^ 128):
            survives(reseal(data[:n] + bytes([value]) + data[n + 1 :]))


edits = st.tuples(st.sampled_from(["set", "insert", "delete"]), st.integers(0, 400), st.binary(min_size=1, max_size=4))


@settings(max_examples=150)
@given(st.sampled_from(FILES), st.lists(edits, min_size=1, max_size=4))
def test_mutated_files_with_a_checksum_that_fits(data, changes):
    body = bytearray(data[:-4])
    for kind, place, text in changes:
        at = 5 + place % max(1, len(body) - 5)
        body[at : at + (0 if kind == "insert" else len(text))] = b"" if kind == "delete" else text
    survives(reseal(bytes(body) + bytes(4)))


@settings(max_examples=150)
@given(st.binary(max_size=80))
@example(b"")
@example(b"\x89SRN\x01")
def test_random_bytes(data):
    survives(data)
    survives(reseal(b"\x89SRN\x01" + data + bytes(4)))


numbers = st.sampled_from([0, 1, 2, 3, 5, 127, 128, 4096, 65536, 1 << 20, 1 << 26, 1 << 32, (1 << 34) + 5])
pieces = st.one_of(numbers.map(varint), st.binary(max_size=6), st.sampled_from([b"\x06", b"\x16", b"\x26", b"\0"]))
sections = st.tuples(st.integers(0, 6), st.lists(pieces, max_size=8).map(b"".join))


@settings(max_examples=250)
@given(st.lists(sections, max_size=5))
def test_sections_of_invented_content(found):
    body = b"".join(bytes([tag]) + varint(len(text)) + text for tag, text in sorted(found))
    survives(reseal(b"\x89SRN\x01" + body + bytes(4)))


def made(*sections, version=1):
    body = b"\x89SRN" + bytes([version])
    body += b"".join(bytes([tag]) + varint(len(text)) + text for tag, text in sections)
    return body + struct.pack("<I", zlib.crc32(body))


PICTURE = b"\x10\x04\x04"  # 4 x 4, three channels
ONE = b"\x06\x80\x3e\x00"  # a tensor of 6 bits, step 0.25, all zeros
LINEAR = b"\x01" + ONE + ONE  # no hidden layer
NAN, INF = b"\xc0\x7f", b"\x80\x7f"  # as bfloat16


def test_the_smallest_file_is_readable():
    assert decompress(made((1, PICTURE), (4, LINEAR))).abs().max() == 0


@pytest.mark.parametrize(
    "content, message",
    [
        ([(4, LINEAR)], "'picture' is missing"),
        ([(1, PICTURE)], "'networks' is missing"),
        ([(4, LINEAR), (1, PICTURE)], "section 1 is unknown to version 1, or out of order"),
        ([(1, PICTURE), (1, PICTURE), (4, LINEAR)], "section 1 is unknown to version 1, or out of order"),
        ([(1, PICTURE), (4, LINEAR), (9, b"")], "section 9 is unknown"),
        ([(1, b"\x13\x04\x04"), (4, LINEAR)], "byte 7: the picture's flags cannot be 0x13"),
        ([(1, b"\x50\x04\x04"), (4, LINEAR)], "flags cannot be"),
        ([(1, b"\x10\x00\x04"), (4, LINEAR)], "height must be from 1 to 67108864, got 0"),
        ([(1, b"\x10" + varint(1 << 26) * 2), (4, LINEAR)], "67108864 x 67108864 pixels are more than the limit"),
        ([(1, b"\x10" + varint(1 << 34) * 2), (4, LINEAR)], "height must be from 1 to"),
        ([(1, b"\x10\x84\x00\x04"), (4, LINEAR)], "a varint with a needless last byte"),
        ([(1, b"\x10" + b"\x80" * 9), (4, LINEAR)], "a varint of more than 5 bytes"),
        ([(1, b"\x20" + varint(1 << 13) * 2 + varint(4096)), (4, LINEAR)], "channels must be from 1 to 4, got 4096"),
        ([(1, b"\x20\x04\x04\x03"), (4, LINEAR)], "3 channels have a flag of their own"),
        ([(1, PICTURE + b"\0"), (4, LINEAR)], "1 bytes too many in the section of the picture"),
        ([(1, b"\x14\x04\x04" + struct.pack("<2f", 0, 30)), (4, LINEAR)], "omega_0 must be from"),
        ([(1, b"\x14\x04\x04" + struct.pack("<2f", 30, 1e30)), (4, LINEAR)], "omega_0 must be from"),
        ([(1, b"\x18\x04\x04" + struct.pack("<3f", 0, float("nan"), 0)), (4, LINEAR)], "mean colour must be finite"),
        ([(1, b"\x18\x04\x04" + bytes(4)), (4, LINEAR)], "the mean colour needs 12 bytes, but 4 are left"),
        ([(1, PICTURE), (4, b"\0")], "no network before it"),
        ([(1, PICTURE), (4, varint(1 << 20))], "number of hidden layers must be from 0 to 128, got 1048576"),
        ([(1, PICTURE), (4, b"\x03\x00")], "width must be from 1 to 4096, got 0"),
        ([(1, PICTURE), (4, b"\x04" + varint(8))], "equal widths need at least two"),
        ([(1, PICTURE), (4, b"\x06" + varint(4096))], "too many parameters"),
        ([(1, PICTURE), (4, b"\x06" + varint(60))], "a tensor's first byte needs 1 bytes, but 0 are left"),
        ([(1, PICTURE), (4, LINEAR + b"\0")], "1 bytes too many in the section of the networks"),
        ([(1, PICTURE), (4, b"\x01\x01")], r"a tensor of shape \(3, 2\) cannot begin with 0x01"),
        ([(1, PICTURE), (4, b"\x01\x0b")], "cannot begin with 0x0b"),
        ([(1, PICTURE), (4, b"\x01\x46")], "cannot begin with 0x46"),
        ([(1, PICTURE), (4, b"\x01" + ONE + b"\x16")], r"a tensor of shape \(3,\) cannot begin with 0x16"),
        ([(1, PICTURE), (4, b"\x01\x26\x80\x3e")], "no earlier symbol model that suits 6 bits"),
        ([(1, PICTURE), (4, b"\x01\x06" + NAN + b"\0")], r"steps must be from .* got \[nan\]"),
        ([(1, PICTURE), (4, b"\x01\x06" + INF + b"\0")], "steps must be from"),
        ([(1, PICTURE), (4, b"\x01\x06\x00\x00\0")], "steps must be from"),
        ([(1, PICTURE), (4, b"\x01\x06\x80\x3e\x20\x00\x3f")], "largest symbol must be from 0 to 31, got 32"),
        ([(1, PICTURE), (4, b"\x01\x06\x80\x3e\x1f\x80\x3f")], "decay must be above 0 and below 1, got 1.0"),
        ([(1, PICTURE), (4, b"\x01\x06\x80\x3e\x1f" + NAN)], "decay must be above 0 and below 1, got nan"),
        ([(1, PICTURE), (4, b"\x01\x00" + b"\x00\x7c" * 6)], "half-precision values must be finite"),
        ([(1, PICTURE), (4, b"\x01\x00" + bytes(4))], "needs 12 bytes, but 4 are left"),
        ([(1, PICTURE), (4, LINEAR), (5, bytes(4))], "stream of 4 bytes is truncated, too long, or corrupted"),
        ([(1, PICTURE), (4, LINEAR), (5, bytes(3))], "whole words of 4 bytes, got 3"),
        ([(1, PICTURE), (2, b"\x03\x01"), (4, LINEAR)], "labels' flags cannot be 0x03"),
        ([(1, PICTURE), (2, b"\x01" + varint(300)), (4, LINEAR)], "number of labels must be from 1 to 256, got 300"),
        ([(1, PICTURE), (2, b"\x05\x02\x05\x04"), (4, LINEAR)], "map's height must be from 1 to 4, got 5"),
        ([(1, b"\x10" + varint(4096) * 2), (2, b"\x00\x02"), (4, LINEAR)], "map of 4096 x 4096 cells and 2 labels"),
        ([(1, PICTURE), (2, b"\x01\x02\xff"), (4, LINEAR)], "whole words of 4 bytes, got 1"),
        ([(1, PICTURE), (3, b"\x04" + struct.pack("<f", 1)), (4, LINEAR)], "`method` must be one of"),
        ([(1, PICTURE), (3, b"\x00" + struct.pack("<f", 99)), (4, LINEAR)], "`strength` of median"),
        ([(1, PICTURE), (3, b"\x00" + struct.pack("<f", 1) + b"1"), (4, LINEAR)], "too many in the section of the d"),
    ],
)
def test_impossible_content_is_named(content, message):
    refused(made(*content), message)


def test_versions_and_files_of_other_kinds_are_named():
    refused(made((1, PICTURE), (4, LINEAR), version=7), "byte 4: file version 7, this library reads 1")
    for kind in ("PNG", "JPEG", "GIF"):
        out = io.BytesIO()
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(out, format=kind)
        refused(out.getvalue(), "byte 0: expected a .sirn file, which begins with")
    refused(b"", "expected a .sirn file")
    refused(b"\x80\x04N.", "expected a .sirn file")


def test_huge_claims_take_no_memory():
    claims = [
        made((1, b"\x10" + varint(8192) * 2), (4, b"\x06" + varint(4096))),
        made((1, b"\x20" + varint(1 << 26) + b"\x01\x04"), (4, b"\x81\x01" + varint(4000))),
        made((1, b"\x10" + varint(8192) * 2), (2, b"\x01" + varint(256)), (4, LINEAR)),
        b"\x89SRN\x01\x01" + varint((1 << 34) - 1) + bytes(99),
    ]
    tracemalloc.start()
    try:
        for claim in claims:
            refused(reseal(claim))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_pixels_times_parameters_are_bounded():
    data = write(encoded(1 << 13, 1 << 13, hidden=(128, 128)))
    refused(data, "8192 x 8192 x 3 values would take about [0-9]+ s of one core to decode, and the limit is 1.5 s")


@pytest.mark.parametrize(
    "found",
    [
        "8953524e0101072090039003940a030502cdcccc3d04090102803f0002803f0097f9dd5f",  # total variation of 1300 channels
    ],
)
def test_what_fuzzing_found_is_refused(found):
    refused(bytes.fromhex(found), "s of one core to decode")


def test_the_estimate_counts_what_takes_long():
    """Each of these is refused for its work alone: with larger limits it would be decoded."""
    for size, options in [
        ((8192, 8192, 1), {"denoise": ("tv", 10.0)}),
        ((700, 700, 3), {"denoise": ("median", 8.0)}),
        ((2, 40_000, 1), {"denoise": ("median", 8.0)}),
        ((2000, 2000, 3), {"denoise": ("bilateral", 0.1)}),
        ((1500, 1500, 3), {"denoise": ("nlm", 0.1)}),
        ((4096, 4096, 3), {"hidden": (16, 16)}),
    ]:
        data = write(encoded(*size, **options))
        refused(data, "s of one core to decode")
        read(data, TRUSTED)


def test_a_photo_of_ordinary_size_is_within_the_limits():
    read(write(encoded(512, 768, hidden=(136, 68, 68, 68, 68, 68))))


@pytest.mark.parametrize(
    "limits, message",
    [
        (Limits(pixels=62), "9 x 7 pixels are more than the limit 62"),
        (Limits(parameters=100), "23 more than allowed"),
        (Limits(layers=1), "number of hidden layers must be from 0 to 2"),
        (Limits(width=7), "width must be from 1 to 7, got 8"),
        (Limits(work=1000), "s of one core to decode"),
        (Limits(size=50), "more than the limit 50"),
    ],
)
def test_limits_can_be_lowered(limits, message):
    refused(write(encoded()), message, limits)


def test_limits_hold_for_labels_and_clusters():
    data = write(encoded(with_labels="network"))
    refused(data, "number of labels must be from 1 to 2, got 3", Limits(networks=2))
    refused(data, "a map of 6 x 5 cells and 3 labels is beyond the limit 29", Limits(cells=29))


def test_extreme_but_lawful_numbers_give_finite_pixels():
    large = b"\x06\x80\x4f"  # a step of 2**32
    model = b"\x1f\x00\x3f"  # symbols up to 31, decay 0.5
    net = b"\x06\x02" + (large + model + large + model) + (large + b"\x00") * 4
    stream = 4  # the symbols that four bytes of zeros stand for need not be canonical: refused or finite
    for omega in (2.0**17, 2.0**-10):
        picture = b"\x14\x04\x04" + struct.pack("<2f", omega, omega)
        for text in (b"", bytes(stream), b"\xff" * 8, b"\x12\x34\x56\x78"):
            survives(made((1, picture), (4, net), (5, text)))

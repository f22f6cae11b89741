"""Images to files in one call: sizes, targets, options, reports, Ctrl-C."""

import random

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from hypothesis import example, given, settings
from hypothesis import strategies as st
from learners import picture

from siren_fastai.codec.compress import Clusters, compress
from siren_fastai.codec.size import bits_per_pixel_of
from siren_fastai.images import to_uint8
from siren_fastai.quality import psnr, ssim
from siren_fastai.sirn.decode import decompress, read_file


def quick(image=None, **options):
    """Few steps, and few numbers of bits to choose from: most of a small image's time is their choice."""
    image = picture(16, 24) if image is None else image
    bits = {} if options.get("weights") == "float16" else {"bits": (2, 4, 6, 8)}
    return compress(image, **{"steps": 5, "progress": False, "device": "cpu", **bits, **options})


class Watch(Callback):
    """Counts batches of training; Ctrl-C after `interrupt` of them, then and never again."""

    run_valid = False

    def __init__(self, interrupt=None):
        self.batches, self.interrupt = 0, interrupt

    def after_batch(self):
        self.batches += 1
        if self.batches == self.interrupt:
            raise KeyboardInterrupt


def levels(image):
    return to_uint8(image) / 255.0


def check(made, image, most=None):
    """What holds for every result."""
    report = made.report
    assert torch.equal(made.image, decompress(made.data)) and tuple(made.image.shape) == image.shape
    assert report["bytes"] == len(made.data) and report["bpp"] == 8 * len(made.data) / (image.shape[0] * image.shape[1])
    assert report["psnr"] == pytest.approx(psnr(levels(made.image), levels(image)))
    if min(image.shape[:2]) >= 7:
        assert report["ssim"] == pytest.approx(ssim(levels(made.image), levels(image)))
    stored = read_file(made.data)
    tensors = [tensor for network in stored.networks for tensor in network.tensors]
    assert [t.bits for t in tensors] == list(report["bits"].values())
    assert stored.networks[0].dims == report["dims"] and len(stored.networks) == report["networks"]
    assert most is None or len(made.data) <= most
    assert report["float_error"] < 0.25, "every machine decodes the same image"


# Bad input


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({}, ValueError, "exactly one target"),
        ({"bpp": 5, "psnr": 30}, ValueError, "exactly one target"),
        ({"quality": 50, "psnr": 30}, ValueError, "exactly one target"),
        ({"bpp": 5, "psnr": 30, "quality": 50}, ValueError, "exactly one target"),
        ({"bpp": 0}, ValueError, "`bpp` must be above 0 and at most 24 bits per pixel, got 0"),
        ({"bpp": -1.0}, ValueError, "`bpp`.*got -1.0"),
        ({"bpp": float("nan")}, ValueError, "`bpp`.*got nan"),
        ({"bpp": 25}, ValueError, "`bpp`.*got 25"),
        ({"psnr": 9.9}, ValueError, "`psnr` must be from 10 to 60 dB, got 9.9"),
        ({"psnr": float("inf")}, ValueError, "`psnr`.*got inf"),
        ({"quality": 0}, ValueError, "`quality` must be from 1 to 100, got 0"),
        ({"quality": 101}, ValueError, "`quality`.*got 101"),
        ({"bpp": 5, "steps": 0}, ValueError, "`steps` must be 1 or more, got 0"),
        ({"bpp": 5, "steps": True}, ValueError, "`steps`.*got True"),
        ({"bpp": 5, "denoise": "median"}, ValueError, "`denoise` must be None, 'auto' or .*got 'median'"),
        ({"bpp": 5, "denoise": ("blur", 1.0)}, ValueError, "`method` must be one of .*got 'blur'"),
        ({"bpp": 5, "denoise": ("tv", -1.0)}, ValueError, "`strength` of tv.*got -1.0"),
        ({"bpp": 5, "max_bytes": 300}, ValueError, "exactly one target"),
        ({"max_bytes": 0}, ValueError, "`max_bytes` must be 1 or more, got 0"),
        ({"max_bytes": True}, ValueError, "`max_bytes`.*got True"),
        ({"max_bytes": 200.5}, TypeError, "float"),
        ({"max_bytes": 48}, ValueError, r"48 bytes .* is too small: the smallest possible file has \d+ bytes"),
        ({"bpp": 5, "weights": "fp16"}, ValueError, "`weights` must be one of .*'float16'.*got 'fp16'"),
        ({"bpp": 5, "bits": ()}, ValueError, r"`bits` must be some of 2 to 10, .*got \(\)"),
        ({"bpp": 5, "bits": (4, 11)}, ValueError, r"`bits` must be .*got \(4, 11\)"),
        ({"bpp": 5, "bits": (4,), "weights": "float16"}, ValueError, "`bits` must be .* for quantised weights"),
        ({"bpp": 5, "clusters": 4}, TypeError, "`clusters` must be None or Clusters.*got 4"),
        ({"bpp": 5, "clusters": Clusters(3, cell=16)}, ValueError, "distinct"),
        (
            {"bpp": 1.0},
            ValueError,
            r"48 bytes \(1 bits per pixel\) is too small: the smallest possible file has \d+ bytes",
        ),
        ({"bpp": 5, "image": np.zeros((0, 4, 3))}, ValueError, "empty"),
        ({"bpp": 5, "image": np.full((9, 9, 3), np.nan)}, ValueError, "finite|NaN"),
        ({"bpp": 5, "image": np.full((9, 9, 3), 2.0)}, ValueError, r"\[0, 1\]"),
        ({"bpp": 5, "image": "no/such/picture.png"}, FileNotFoundError, "picture.png"),
    ],
)
def test_bad_input_is_refused_before_any_training(options, kind, message):
    watch = Watch()
    with pytest.raises(kind, match=message):
        quick(cbs=[watch], **options)
    assert watch.batches == 0


# Targets


@pytest.mark.numerics
def test_the_smallest_possible_size_is_named_and_possible():
    image = picture(16, 24, 1)
    with pytest.raises(ValueError, match="is too small") as error:
        quick(image, bpp=0.5)
    least = int(str(error.value).split("possible file has ")[1].split()[0])
    rate = float(str(error.value).rsplit("(", 1)[1].split()[0])
    assert rate == pytest.approx(8 * least / 384, abs=2e-3)
    check(quick(image, bpp=rate), image, least + 1)
    with pytest.raises(ValueError, match=f"has {least} bytes"):
        quick(image, bpp=rate - 0.03)


@pytest.mark.numerics
@pytest.mark.slow
@pytest.mark.parametrize("size", [(16, 24, 3), (32, 16, 1)], ids=["landscape-rgb", "portrait-gray"])
def test_the_file_is_at_most_as_large_as_asked_and_uses_it(size):
    image = picture(*size)
    found = [quick(image, bpp=bpp, steps=60) for bpp in (5.0, 16.0)]
    for made, bpp in zip(found, (5.0, 16.0), strict=True):
        asked = bpp * size[0] * size[1] / 8
        check(made, image, asked)
        assert len(made.data) > 0.85 * asked and not made.report["interrupted"]
        assert 60 <= made.report["steps"] <= 72, "60, and 6 for each further round"
    assert found[1].report["psnr"] > found[0].report["psnr"] + 1


@pytest.mark.parametrize("weights", ["quantized", "float16"])
@pytest.mark.parametrize("steps", [1, 2, 37])
def test_training_takes_the_steps_that_were_asked_for_and_a_tenth_for_each_further_round(steps, weights):
    watch = Watch()
    made = quick(bpp=12, steps=steps, weights=weights, cbs=[watch])
    further = max(1, round(steps / 10))
    rounds = 0 if weights == "float16" else 2  # float16 weights need no further round of training
    allowed = [steps + n * further for n in range(rounds + 1)]
    assert made.report["steps"] == watch.batches and watch.batches in allowed


def test_quality_is_bits_per_pixel_or_the_smallest_file():
    image = picture(40, 32)
    best, worst = quick(image, quality=100), quick(image, quality=1)
    check(best, image, bits_per_pixel_of(100) * 160)
    check(worst, image)
    assert len(worst.data) < len(best.data) and worst.report["dims"][-2] == 4


@pytest.mark.numerics
def test_a_number_of_bytes_is_met_and_used():
    image = picture(16, 24)
    made = quick(image, max_bytes=500, steps=20)
    check(made, image, 500)
    assert len(made.data) > 0.85 * 500


def test_more_bytes_than_24_bits_per_pixel_are_not_used():
    image = picture(8, 8)
    assert quick(image, max_bytes=10**9, steps=2).data == quick(image, max_bytes=1000, steps=2).data


@pytest.mark.slow
def test_a_psnr_is_reached():
    made = quick(psnr=17, steps=40)
    check(made, picture(16, 24))
    assert made.report["reached"] and made.report["psnr"] >= 17 and made.report["target_psnr"] == 17


def test_a_psnr_out_of_reach_gives_the_best_and_says_so():
    made = quick(psnr=60, steps=2)
    check(made, picture(16, 24))
    assert not made.report["reached"] and made.report["psnr"] < 60
    assert len(made.data) <= 24 * 384 / 8, "never more than the bits per pixel that can be asked for"


def test_a_psnr_that_the_smallest_file_has_is_done_at_once():
    watch, image = Watch(), np.full((12, 9, 1), 0.5, np.float32)
    made = quick(image, psnr=10, steps=1, cbs=[watch])
    check(made, image)
    assert made.report["reached"] and watch.batches <= 4


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 1)])
def test_tiny_pictures_have_files_too(shape):
    image = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    made = quick(image, quality=50)
    check(made, image)
    assert made.report["ssim"] is None


# Helpers


def test_the_mean_is_stored_and_added():
    image = picture(16, 24)
    made = quick(bpp=8, mean=True)
    check(made, image, 384)
    assert read_file(made.data).mean == pytest.approx(image.mean((0, 1)).tolist(), abs=1e-5)


@pytest.mark.parametrize("asked", [("median", 1.0), "auto"])
def test_a_denoiser_is_in_the_file_and_reported_before_and_after(asked):
    plain, made = quick(bpp=5), quick(bpp=5, denoise=asked)
    check(made, picture(16, 24), 240)
    stored, report = read_file(made.data).denoise, made.report
    assert "psnr_before_denoising" not in plain.report and read_file(plain.data).denoise is None
    if asked == "auto":
        assert report["psnr"] >= report["psnr_before_denoising"]
        assert (stored is None) == (report["denoise"] is None)
    else:
        assert (stored.method, stored.strength) == report["denoise"] == asked


# How weights are stored


@pytest.mark.numerics
def test_float16_weights_are_stored_as_such_and_trained_as_floats():
    image = picture(24, 32)
    made = quick(image, bpp=16, weights="float16", steps=40)
    check(made, image, 2 * 24 * 32)
    stored = [tensor for network in read_file(made.data).networks for tensor in network.tensors]
    assert {tensor.kind for tensor in stored} == {"fp16"} and set(made.report["bits"].values()) == {16}
    assert made.report["psnr"] == pytest.approx(made.report["psnr_unquantized"], abs=0.3)
    assert made.report["steps"] == 40 and made.report["psnr_untuned"] is None
    assert made.report["dims"][-2] < quick(image, bpp=16).report["dims"][-2], "fewer weights fit"


def test_a_step_for_each_row_is_in_the_file():
    image = picture(24, 32)
    made = quick(image, bpp=12, weights="quantized_rows", steps=20)
    check(made, image, 12 * 96)
    (network,) = read_file(made.data).networks
    for tensor in network.tensors:
        rows = (len(tensor.symbols), 1)
        assert tuple(tensor.step.shape) == (rows if tensor.symbols.ndim == 2 else ())


@pytest.mark.parametrize("weights", ["quantized_rows", "float16"])
@pytest.mark.parametrize("clusters", [Clusters(2, cell=4), Clusters(2, use="network", cell=4)], ids=lambda c: c.use)
def test_every_storage_works_with_clusters_and_helpers(weights, clusters):
    image = picture(24, 32)
    options = {"mean": True, "denoise": ("median", 1.0), "clusters": clusters, "weights": weights}
    check(quick(image, bpp=16, steps=4, **options), image, 2 * 24 * 32)


@pytest.mark.parametrize("weights", ["quantized_rows", "float16"])
def test_the_smallest_file_of_every_storage_is_possible(weights):
    image = picture(16, 24, 1)
    with pytest.raises(ValueError, match="is too small") as error:
        quick(image, max_bytes=50, weights=weights)
    least = int(str(error.value).split("possible file has ")[1].split()[0])
    check(quick(image, max_bytes=least, weights=weights), image, least)


def test_bits_are_chosen_from_those_that_are_given():
    made = quick(bpp=8, bits=(3, 5), cbs=[Watch(interrupt=1)])  # no fine-tuning, which sets bits by their use
    assert set(made.report["bits"].values()) <= {3, 5}


# Clusters


@pytest.mark.parametrize("by, use", [("color", "feature"), ("color", "network"), ("error", "network")])
def test_clusters_are_in_the_file(by, use):
    image = picture(16, 24)
    made = quick(bpp=9, clusters=Clusters(2, by, use, cell=4), steps=6)
    check(made, image, 432)
    stored = read_file(made.data)
    assert stored.labels.use == use and stored.labels.map.shape == (4, 6) and stored.labels.k == 2
    assert len(stored.networks) == (2 if use == "network" else 1)
    assert stored.networks[0].dims[0] == (4 if use == "feature" else 2)


def test_one_cluster_is_the_plain_picture():
    assert quick(bpp=5, clusters=Clusters(1)).data == quick(bpp=5).data


# Repeatability


@pytest.mark.numerics
def test_the_seed_decides_and_other_random_states_stay():
    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()

    def seeded():
        random.seed(5), np.random.seed(5), torch.manual_seed(5)

    seeded()
    expected = draws()
    seeded()
    first = quick(bpp=5, seed=1)
    assert draws() == expected
    assert quick(bpp=5, seed=1).data == first.data
    assert quick(bpp=5, seed=2).data != first.data
    seeded()
    with pytest.raises(KeyError):
        quick(bpp=5, cbs=[Broken()])
    assert draws() == expected


class Broken(Callback):
    def after_batch(self):
        raise KeyError("an error of the user's callback")


# Ctrl-C


@pytest.mark.parametrize("after", [1, 2, 4], ids=["first-batch", "fit", "fine-tuning"])  # 5 steps: 2 float, 3 quantised
def test_ctrl_c_gives_a_file_of_what_was_learned(after):
    made = quick(bpp=5, cbs=[Watch(after)])
    check(made, picture(16, 24), 240)
    assert made.report["interrupted"] and made.report["steps"] <= after


def test_ctrl_c_between_rounds_of_clusters_by_error_gives_a_file():
    made = quick(bpp=9, steps=6, clusters=Clusters(2, "error", "network", cell=8), cbs=[Watch(3)])
    check(made, picture(16, 24), 432)
    assert made.report["interrupted"]


def test_ctrl_c_in_a_search_gives_the_best_so_far_and_says_so():
    made = quick(psnr=24, steps=2, cbs=[watch := Watch(3)])
    check(made, picture(16, 24))
    assert watch.batches == 3 and made.report["interrupted"] and not made.report["reached"]


# Everything at once

HELPERS = st.fixed_dictionaries(
    {
        "mean": st.booleans(),
        "denoise": st.sampled_from([None, ("median", 1.0), ("tv", 0.02)]),
        "clusters": st.sampled_from([None, Clusters(2, cell=3), Clusters(2, "color", "network", 5)]),
    }
)


@pytest.mark.slow
@example(20, 20, 3, 24.0, {"mean": True, "denoise": ("tv", 0.02), "clusters": Clusters(2, cell=3)})
@given(st.integers(8, 20), st.integers(8, 20), st.sampled_from([1, 3]), st.sampled_from([20.0, 24.0]), HELPERS)
@settings(max_examples=8)
def test_any_small_picture_comes_back_within_its_bytes(height, width, channels, bpp, helpers):
    image = picture(height, width, channels)
    most = bpp * height * width / 8
    try:
        made = quick(image, bpp=bpp, steps=2, **helpers)
    except ValueError as error:
        assert "smallest possible file" in str(error) and most < 500
        return
    check(made, image, most)

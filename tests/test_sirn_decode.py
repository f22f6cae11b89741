"""Decoding: the pixels are those of the network that was encoded, in any process, and of files from older versions."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sirn_reference
import torch
from sirn_files import coded, encoded, network

from siren_fastai.coords import grid_coords
from siren_fastai.images import load_image, to_uint8
from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.features import FeatureInput
from siren_fastai.models.siren import siren_model
from siren_fastai.names import DENOISERS
from siren_fastai.render import render
from siren_fastai.sirn.decode import decode, decompress, float_error, models_of, read_file
from siren_fastai.sirn.denoise import denoise
from siren_fastai.sirn.format import Encoded, FormatError, Labels, Network, write

pytestmark = pytest.mark.numerics

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.sirn"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_files_decode_to_their_pictures(path):
    expected = to_uint8(load_image(path.with_suffix(".png"))).astype(int)
    found = to_uint8(decompress(path)).astype(int)
    assert found.shape == expected.shape and np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_files_mean_the_same_to_a_decoder_written_from_the_document(path):
    plain, noise = sirn_reference.decode(path.read_bytes())
    if noise:
        plain = denoise(torch.from_numpy(plain).float(), DENOISERS[noise[0]], noise[1]).numpy()
    np.testing.assert_allclose(decompress(path).numpy(), plain, atol=1e-3)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_files_look_the_same_in_float32_and_float64(path):
    assert float_error(read_file(path)) < 0.05


@pytest.mark.parametrize("with_labels", [None, "feature", "scalar", "network"])
def test_the_float_error_is_about_the_difference_from_the_reference_decoder_in_float64(with_labels):
    picture = encoded(9, 7, hidden=(16, 16), with_labels=with_labels, omega_0=3000.0, hidden_omega_0=300.0)
    exact, _ = sirn_reference.decode(write(picture))
    difference = 255 * np.abs(decode(picture).numpy() - exact).max()
    assert difference > 0.001 and 0.5 < float_error(picture) / difference < 2  # float32 in another order


def test_files_that_need_more_than_float32_are_known_by_their_float_error():
    assert float_error(encoded(64, 64, hidden=(8, 8), omega_0=2.0**17, hidden_omega_0=2.0**17)) > 0.25


def test_there_is_a_golden_file_for_each_kind():
    kinds = {(e.channels, e.labels.use if e.labels else None) for e in map(read_file, GOLDEN)}
    assert kinds >= {(1, None), (3, "feature"), (3, "network")}


def test_pixels_are_those_of_the_network_with_rounded_weights():
    picture = encoded(9, 7, hidden=(8, 6), omega_0=20.0, hidden_omega_0=10.0, grid="corners")
    model = siren_model([2, 8, 6, 3], 20.0, 10.0)
    weights = [tensor.weights() for tensor in picture.networks[0].tensors]
    model.load_state_dict(dict(zip(model.state_dict(), weights, strict=True)))
    assert torch.equal(decompress(write(picture)), render(model, (9, 7), grid="corners"))


def test_half_precision_weights_are_kept_exactly():
    values = torch.randn(3, 2).half()
    one = Network([2, 3], [coded(values, 16), coded(torch.zeros(3), 16)])
    found = decompress(write(Encoded(5, 4, 3, [one])))
    expected = (grid_coords((5, 4)) @ values.float().T).clamp(0, 1).view(5, 4, 3)
    torch.testing.assert_close(found, expected)


def test_the_mean_is_added_before_clamping_and_the_denoiser_comes_last():
    plain, mean = encoded(), (-0.4, 0.1, 0.7)
    values = render(models_of(plain), (9, 7), clamp=None) + torch.tensor(mean)
    assert torch.equal(decode(encoded(mean=mean)), values.clamp(0, 1))
    smooth = decode(encoded(mean=mean, denoise=("median", 1.0)))
    assert torch.equal(smooth, denoise(values.clamp(0, 1), "median", 1.0))


def test_each_cluster_is_drawn_by_its_own_network():
    picture = encoded(9, 7, with_labels="network")
    model, coords = models_of(picture), grid_coords((9, 7))
    cells = [((coords[:, i] + 1) / 2 * n).floor().long() for i, n in enumerate(picture.labels.map.shape)]
    here = torch.from_numpy(picture.labels.map.astype(int))[cells[0], cells[1]]
    assert isinstance(model, ClusterNetworks) and here.unique().tolist() == [0, 1, 2]
    found = decode(picture).view(-1, 3)
    for label in range(3):
        alone = decode(Encoded(9, 7, 3, [picture.networks[label]])).view(-1, 3)
        torch.testing.assert_close(found[here == label], alone[here == label])


@pytest.mark.parametrize("use, width", [("feature", 3), ("scalar", 1)])
def test_labels_as_inputs_are_those_of_training(use, width):
    picture = encoded(with_labels=use)
    model = models_of(picture)
    assert isinstance(model, FeatureInput) and model.features.shape == (6, 5, width)
    cell = model.lookup(torch.tensor([[-1.0, -1.0]]))[0].tolist()
    assert cell == ([0.0, 0.0, 1.0] if use == "feature" else [1.0]), "the patch of the last label"
    assert render(model, (18, 14)).shape == (18, 14, 3), "at any size"


@pytest.mark.parametrize("use", ["network", "feature", "scalar"])
def test_one_cluster_is_the_plain_picture(use):
    one = network()
    marks = Labels(np.zeros((2, 2), int), 1, use)
    assert torch.equal(decode(Encoded(9, 7, 3, [one], labels=marks)), decode(Encoded(9, 7, 3, [one])))


def test_decoding_draws_no_random_numbers():
    data = write(encoded())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    decompress(data)
    assert torch.equal(torch.rand(2), expected)


def test_paths_and_bytes_are_taken_and_foreign_files_are_not_read_to_their_end(tmp_path):
    path, data = tmp_path / "a.sirn", write(encoded())
    path.write_bytes(data)
    assert torch.equal(decompress(path), decompress(data)) and torch.equal(decompress(str(path)), decompress(data))
    assert torch.equal(decompress(bytearray(data)), decompress(memoryview(data)))
    with pytest.raises(FormatError, match="expected a .sirn file"):
        decompress("/dev/zero" if Path("/dev/zero").exists() else __file__)
    with pytest.raises(TypeError, match="`data` must be bytes or a path, got int"):
        decompress(3)
    with pytest.raises(FileNotFoundError):
        decompress(tmp_path / "b.sirn")


FRESH = """
import sys, torch
from pathlib import Path
from siren_fastai.sirn.decode import decompress
from siren_fastai.images import to_uint8
assert "fastai" not in sys.modules
for path in sys.argv[2:]:
    for threads in (int(sys.argv[1]), 1, 2):
        torch.set_num_threads(threads)
        sys.stdout.buffer.write(to_uint8(decompress(path)).tobytes())
"""


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_pixels_and_threads_differ_by_a_level_at_most(tmp_path):
    paths = [*GOLDEN, tmp_path / "large.sirn"]
    paths[-1].write_bytes(write(encoded(96, 80, hidden=(64, 64), omega_0=30.0)))
    command = [sys.executable, "-c", FRESH, str(torch.get_num_threads()), *map(str, paths)]
    out = subprocess.run(command, check=True, capture_output=True).stdout
    for path in paths:
        here = to_uint8(decompress(path)).reshape(-1)
        same, one, two = np.frombuffer(out[: 3 * here.size], np.uint8).reshape(3, -1).astype(int)
        np.testing.assert_array_equal(same, here)
        assert np.abs(one - two).max() <= 1 and np.abs(one - here).max() <= 1
        out = out[3 * here.size :]
    assert out == b""

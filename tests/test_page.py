"""Web pages without a browser: what they compute, how it is packed, what the file says, and what is refused."""

import base64
import copy
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from learners import picture, pixel_learner
from page_browser import block
from page_networks import networks
from sirn_files import encoded
from torch import nn

from siren_fastai.data import PixelDataLoaders
from siren_fastai.fits.checkpoint import load_checkpoint, save_checkpoint
from siren_fastai.learner import siren_learner
from siren_fastai.models.cluster_networks import ClusterNetworks, RankInput
from siren_fastai.models.features import FeatureInput
from siren_fastai.models.field import field_model
from siren_fastai.models.siren import siren_model
from siren_fastai.page.coded import save_coded_page
from siren_fastai.page.packing import label_bytes, pack_units, pack_weights, stride
from siren_fastai.page.program import program_of
from siren_fastai.page.save import half_error, page_html, save_page
from siren_fastai.page.shader import quads
from siren_fastai.quality import psnr

NAMES = sorted(networks())
HOSTILE = "</script><img src=x onerror=\"document.title='run'\"><!-- \u2028 @script@ & \udc80"


def exact(model, coords):
    """The network in float64; where a cell of a label map begins stays a decision in float32."""
    double = copy.deepcopy(model).double()
    if isinstance(double, FeatureInput):
        cells = model.cells(coords)
        double.cells = lambda _: cells
    with torch.no_grad():
        return double(coords.double())


def values_of(text):
    return json.loads(block(text, "page"))


def numbers_of(text, name, dtype):
    return np.frombuffer(base64.b64decode(block(text, name)), dtype)


@pytest.mark.parametrize("name", NAMES)
def test_the_plain_layers_compute_what_the_network_does(name):
    model, coords = networks()[name], torch.rand(200, 2) * 2 - 1
    found = program_of(model)(coords)
    scale = exact(model, coords).abs().max()
    torch.testing.assert_close(found / scale, exact(model, coords) / scale, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("half", [False, True])
def test_packed_numbers_give_the_programs_values_when_they_are_read_as_the_shader_reads_them(name, half):
    program, coords = program_of(networks()[name]), torch.rand(20, 2) * 2 - 1
    found = [shaded(program, half, point) for point in coords.double().numpy()]
    want = program(coords, half).numpy()
    np.testing.assert_allclose(np.array(found), want, atol=2e-6 * np.abs(want).max(), rtol=0)


def shaded(program, half, point):
    """The shader's walk through the packed numbers, at one position, in float64."""
    sizes, kind = quads(program), kind_at(program, point)
    units = np.frombuffer(pack_units(program), "<f8").reshape(-1, 4 * sizes[0], 3)[kind]
    texels = np.frombuffer(pack_weights(program, half), "<f2" if half else "<f4").astype(float).reshape(-1, 4)
    first = program.heads[0].steps
    if first[:1] == (("radial",),):
        z, steps = np.exp(-((units[:, 2] * ((point - units[:, :2]) ** 2).sum(1)) ** 2)), first[1:]
    else:
        z, steps = units[:, :2] @ point + units[:, 2], first
        steps = (("sine", 1.0), *steps[1:]) if steps and steps[0][0] == "sine" else steps
    x, at = stepped(z, steps), (kind if len(program.bodies) > 1 else 0) * stride(program)
    for layer, before, after in zip(program.bodies[0], sizes[:-1], sizes[1:], strict=True):
        outputs = []
        for _ in range(after):
            z, at = texels[at].copy(), at + 1
            for i in range(before):
                z += texels[at : at + 4].T @ x[4 * i : 4 * i + 4]
                at += 4
            outputs.append(z)
        x = stepped(np.concatenate(outputs), layer.steps)
    return x[: program.channels]


def kind_at(program, point):
    if program.labels is None:
        return 0
    cells = [min(n - 1, int((p + 1) / 2 * n)) for p, n in zip(point, program.labels.shape, strict=True)]
    return int(np.frombuffer(label_bytes(program), np.uint8).reshape(program.labels.shape)[tuple(cells)])


def stepped(z, steps):
    from siren_fastai.page.steps import FUNCTIONS

    z = torch.from_numpy(z)[None]
    for name, *numbers in steps:
        z = FUNCTIONS[name](z, *numbers)
    return z[0].numpy()


def test_float16_is_chosen_where_no_grey_level_changes_by_half():
    model = siren_model([2, 8, 8, 3])
    assert half_error(program_of(model)) < 0.5
    assert values_of(page_html(model, (4, 5)))["half"]
    assert not values_of(page_html(model, (4, 5), weights="float32"))["half"]


def test_float32_is_chosen_where_float16_would_show_and_where_it_has_no_such_number():
    model = siren_model([2, 32, 32, 3])
    with torch.no_grad():
        model[1].linear.weight.mul_(300)
    assert half_error(program_of(model)) > 0.5
    assert not values_of(page_html(model, (4, 5)))["half"]
    with torch.no_grad():
        model[2].bias.fill_(1e6)
    assert half_error(program_of(model)) == float("inf")
    assert not values_of(page_html(model, (4, 5)))["half"]
    with pytest.raises(ValueError, match="beyond 65504"):
        page_html(model, (4, 5), weights="float16")


def test_the_file_loads_nothing_and_its_policy_allows_its_own_script_alone():
    text = page_html(siren_model([2, 8, 3]), (4, 5), "cat")
    assert not re.search(r"https?://|//[a-z]", re.sub(r"(?m)(?<!:)// .*$", "", text))
    assert re.findall(r"(?:src|href)=\S+", text) == ['href="data:,">']
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_a_hostile_title_stays_text():
    text, plain = (page_html(siren_model([2, 8, 3]), (4, 5), title) for title in (HOSTILE, "cat"))
    assert values_of(text)["title"] == HOSTILE
    assert "<img" not in text and text.count("</script>") == plain.count("</script>")
    assert text.encode()  # no lone surrogate, so that it can be written


def test_the_page_says_size_psnr_and_what_it_holds(tmp_path):
    path = save_page(siren_model([2, 8, 3]), tmp_path / "cat.html", (4, 5), psnr=39.387)
    values = values_of(path.read_text(encoding="utf-8"))
    assert (values["title"], values["height"], values["width"]) == ("cat", 4, 5)
    assert values["facts"] == ["4 × 5 pixels", "39.4 dB", "51 weights in 1 kB"]
    assert "dB" not in str(values_of(page_html(siren_model([2, 8, 3]), (4, 5)))["facts"])


@pytest.mark.parametrize(
    ("dims", "weights", "most"),
    [
        ([2] + [256] * 3 + [3], "float32", 760),
        ([2] + [256] * 3 + [3], "float16", 410),
        ([2] + [32] * 6 + [3], "float32", 66),
    ],
)
def test_the_size_of_a_page_is_that_of_its_numbers_and_little_more(dims, weights, most):
    assert len(page_html(siren_model(dims), (256, 256), weights=weights).encode()) / 1000 < most


@pytest.mark.parametrize("grid", ["centers", "corners", "left"])
def test_pixel_centres_have_the_positions_of_the_grid(grid):
    from siren_fastai.coords import axis_positions

    values = values_of(page_html(siren_model([2, 8, 3]), (1, 7), grid=grid))
    for n, start, step in zip((1, 7), values["start"], values["step"], strict=True):
        found = [start + step * (i + 0.5) for i in range(n)]
        np.testing.assert_allclose(found, axis_positions(n, grid).numpy(), atol=1e-7)


def test_the_weights_of_the_first_layer_keep_all_their_digits():
    model = siren_model([2, 6, 3], omega_0=3e7)
    units = numbers_of(page_html(model, (4, 5)), "units", "<f8").reshape(-1, 3)
    np.testing.assert_array_equal(units[:6, :2], 3e7 * model[0].linear.weight.detach().double().numpy())


UNKNOWN = {
    "grid": (field_model("grid", grid_shape=[4, 4]), TypeError, "ValueGrid.*`render`"),
    "ranks": (RankInput(siren_model([1, 8, 3]), torch.rand(4, 4, 1)), TypeError, "RankInput"),
    "other": (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), TypeError, "BatchNorm1d"),
    "slope": (nn.Sequential(nn.Linear(2, 3), nn.ELU(0.5)), TypeError, "ELU"),
    "activation first": (nn.Sequential(nn.ReLU(), nn.Linear(2, 3)), ValueError, "starts with an activation"),
    "encoding twice": (nn.Sequential(nn.Linear(2, 2), field_model("nerf").net), ValueError, "must be the first layer"),
    "sound": (siren_model([1, 8, 1]), ValueError, "two coordinates"),
    "volume": (siren_model([3, 8, 3]), ValueError, "two coordinates"),
    "two channels": (siren_model([2, 8, 2]), ValueError, "gray or colour"),
    "depths": (
        ClusterNetworks([siren_model([2, 8, 3]), siren_model([2, 8, 8, 3])], torch.tensor([[0, 1]])),
        ValueError,
        "the same layers",
    ),
    "kinds": (FeatureInput(siren_model([3, 8, 3]), torch.rand(20, 20, 1)), ValueError, "at most 256 kinds, got 400"),
    "empty": (nn.Sequential(), ValueError, "no layers"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_a_page_cannot_draw_is_refused_with_a_reason_before_a_file_is_written(name, tmp_path):
    model, error, message = UNKNOWN[name]
    with pytest.raises(error, match=message):
        save_page(model, tmp_path / "page.html", (4, 5))
    assert not list(tmp_path.iterdir())


def test_a_network_that_diverged_is_refused():
    model = siren_model([2, 8, 3])
    with torch.no_grad():
        model[0].linear.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="diverged"):
        page_html(model, (4, 5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (4,)},
        {"size": (0, 4)},
        {"grid": "centre"},
        {"weights": "int8"},
        {"value_range": (1, 0)},
        {"mean": [0.5]},
    ],
    ids=str,
)
def test_bad_options_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}`"):
        page_html(siren_model([2, 8, 3]), **{"size": (4, 5), **wrong})


def test_a_network_that_no_texture_holds_is_refused():
    with torch.device("meta"):
        model = siren_model([2, 3000, 3000, 3])
    model = model.to_empty(device="cpu")
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    with pytest.raises(ValueError, match="smaller network"):
        page_html(model, (4, 5), weights="float32")


def test_a_learner_writes_its_image_with_the_psnr_of_all_of_it(tmp_path):
    learn = pixel_learner(tmp_path)
    path = learn.to_html(tmp_path / "image.html", title="noise")
    values = values_of(path.read_text(encoding="utf-8"))
    level = psnr(learn.render(), torch.from_numpy(picture()))
    assert values["facts"][:2] == ["12 × 10 pixels", f"{level:.1f} dB"] and values["title"] == "noise"


def test_a_learner_that_does_not_know_the_whole_image_says_no_psnr(tmp_path):
    facts = values_of(pixel_learner(tmp_path, valid=0.3).to_html(tmp_path / "a.html").read_text())["facts"]
    assert "dB" not in str(facts)


def test_a_learner_of_values_in_another_range_maps_them_to_grey_levels(tmp_path):
    dls = PixelDataLoaders.from_array(picture() * 2 - 1, value_range=(-1, 1), path=tmp_path)
    values = values_of(siren_learner(dls, [2, 8, 3]).to_html(tmp_path / "a.html").read_text())
    assert values["gain"] == 0.5 and values["offset"] == [0.5] * 3


def test_a_signal_that_is_no_image_is_refused(tmp_path):
    dls = PixelDataLoaders.from_array(np.zeros((20, 1), np.float32), value_range=(-1, 1), path=tmp_path)
    with pytest.raises(ValueError, match="a page shows an image"):
        siren_learner(dls, [1, 8, 1]).to_html(tmp_path / "a.html")


def test_a_checkpoint_writes_the_page_of_its_learner(tmp_path):
    learn = pixel_learner(tmp_path)
    checkpoint = load_checkpoint(save_checkpoint(learn, tmp_path / "a.safetensors"))
    texts = [saved.to_html(tmp_path / "a.html").read_text() for saved in (checkpoint, learn)]
    assert all(block(texts[0], name) == block(texts[1], name) for name in ("units", "weights", "labels"))


@pytest.mark.parametrize("use", [None, "feature", "scalar", "network"])
def test_a_compressed_file_keeps_its_mean_colour_and_its_labels(use, tmp_path):
    path = save_coded_page(encoded(with_labels=use, mean=(0.25, 0.5, 0.125)), tmp_path / "a.html")
    values = values_of(path.read_text())
    assert values["offset"] == [0.25, 0.5, 0.125] and values["label_size"] == ([0, 0] if use is None else [6, 5])


def test_a_compressed_file_with_a_denoiser_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'median' after decoding.*`decompress`"):
        save_coded_page(encoded(denoise=("median", 1.0)), tmp_path / "a.html")


def test_the_page_in_the_documentation_is_one_of_today_and_small():
    """After a change of the page it is written again, in two steps.

    `siren-fastai fit --image_filepath data/cat.png --hidden_features 128 --hidden_layers 3 --num_epochs 12 --evaluate
    --experiment_name cat`, then `siren-fastai page logs/cat docs/cat.html --title "A cat in 50,000 numbers" --y`.
    """
    text = (Path(__file__).parents[1] / "docs/cat.html").read_text(encoding="utf-8")
    today, values = page_html(siren_model([2, 128, 128, 128, 128, 3]), (224, 224)), values_of(text)
    for tag in ("style", "script"):
        assert re.findall(rf"<{tag}>.*?</{tag}>", text, flags=re.S) == re.findall(
            rf"<{tag}>.*?</{tag}>", today, flags=re.S
        )
    assert values["shader"] == values_of(today)["shader"] and "dB" in values["facts"][1]
    assert len(text) < 300_000


@pytest.mark.parametrize("name", ["photo.png", "page", ""])
def test_a_page_is_written_to_html_files_only(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(b"a photo")
    with pytest.raises(ValueError, match="ends in .html"):
        save_page(siren_model([2, 8, 3]), name, (4, 5))
    assert (tmp_path / "photo.png").read_bytes() == b"a photo" and len(list(tmp_path.iterdir())) == 1

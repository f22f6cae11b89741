"""Web pages in a real browser: the pixels against `render`, deep zoom against float64, controls, messages."""

import re

import numpy as np
import pytest
import torch
from page_browser import Shot, asked, drawn, needs_browser, run
from page_networks import networks, value_range
from sirn_files import encoded
from test_page import HOSTILE, exact

from siren_fastai.coords import grid_coords
from siren_fastai.images import to_uint8
from siren_fastai.models.features import FeatureInput
from siren_fastai.models.siren import siren_model
from siren_fastai.page.coded import save_coded_page
from siren_fastai.page.save import page_html, save_page
from siren_fastai.sirn.decode import decode

pytestmark = [pytest.mark.slow, needs_browser]
SIZE = (11, 14)


def levels(values, low=0.0, high=1.0):
    """Values of a network as unrounded grey levels, clamped."""
    return 255 * ((values - low) / (high - low)).clamp(0, 1)


def image_of(model, low, high, size=SIZE, grid="centers"):
    """Unrounded grey levels (height, width, 3) at the pixels, from float64."""
    values = levels(exact(model, grid_coords(size, grid)), low, high)
    return values.expand(-1, 3).reshape(*size, 3).numpy()


def whole(text, size):
    """The view in which a pixel of the image is one of the screen."""
    return Shot(text, (size[0] / 2, size[1] / 2, 1.0), size)


@pytest.fixture
def page(tmp_path):
    return save_page(siren_model([2, 8, 8, 3]), tmp_path / "page.html", SIZE, psnr=31.27)


def test_every_kind_of_network_is_within_one_grey_level_of_float64(tmp_path):
    names, shots, wanted = [], [], []
    for name, model in networks().items():
        for grid in ("corners", "left", "centers") if name == "siren" else ("centers",):
            low, high = value_range(model)
            names.append(f"{name}, {grid}")
            shots.append(whole(page_html(model, SIZE, name, grid, (low, high)), SIZE))
            wanted.append((image_of(model, low, high, grid=grid), _far_from_cell_borders(model)))
    errors = {}
    for name, found, (want, compared) in zip(names, drawn(tmp_path, *shots), wanted, strict=True):
        errors[name] = np.abs(found[..., :3] - want)[compared].max()
    assert max(errors.values()) <= 1, errors


def _far_from_cell_borders(model):
    """Where rounding doesn't decide which cell a pixel is in."""
    if not isinstance(model, FeatureInput):
        return np.ones(SIZE, bool)
    cells = (grid_coords(SIZE) + 1) / 2 * torch.tensor(model.features.shape[:-1])
    return ((cells - cells.round()).abs() > 1e-3).all(1).view(SIZE).numpy()


def test_a_compressed_file_is_drawn_as_it_decompresses(tmp_path):
    files = [  # a map of 6 x 5 labels: no pixel is at a cell's border
        encoded(12, 10, with_labels=use, mean=(0.1, 0.0, -0.1)) for use in (None, "feature", "scalar", "network")
    ]
    texts = [save_coded_page(file, tmp_path / "a.html").read_text(encoding="utf-8") for file in files]
    for file, found in zip(files, drawn(tmp_path, *(whole(text, (12, 10)) for text in texts)), strict=True):
        assert np.abs(found[..., :3].astype(int) - to_uint8(decode(file))).max() <= 1


def test_a_zoom_of_a_million_keeps_the_precision_of_float64(tmp_path):
    """A network of such frequencies has waves of a few screen pixels there."""
    model = siren_model([2, 16, 16, 3], omega_0=3e7, hidden_omega_0=30.0)
    zoom, at, side = 1e6, (3.3141592653589793, 9.2718281828459045), 24
    low, high = value_range(model)
    text = page_html(model, SIZE, value_range=(low, high))
    (found,) = drawn(tmp_path, Shot(text, (*at, zoom), (side, side)))
    away = (torch.arange(side, dtype=torch.float64) + 0.5 - side / 2) / zoom
    axes = [2 * (centre + away) / n - 1 for centre, n in zip(at, SIZE, strict=True)]
    coords = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(-1, 2)
    want, rounded = (
        levels(exact(model, points), low, high).view(side, side, 3).numpy() for points in (coords, coords.float())
    )
    assert want.std() > 20  # or there would be nothing to compare
    assert np.abs(found[..., :3] - want).max() <= 1
    assert np.abs(rounded - want).max() > 5  # what positions in single precision give


def test_original_pixels_are_flat_their_grid_lies_between_them_and_nothing_is_beyond_the_image(tmp_path):
    model = siren_model([2, 8, 8, 3])
    low, high = value_range(model)
    text, size = page_html(model, SIZE, value_range=(low, high)), (32, 32)
    even, odd = (4.0, 7.0, 8.0), (4.0625, 7.0625, 8.0)  # 4 x 4 pixels from row 2, column 5; half a screen pixel off
    blocks, *grids, hidden, shown = drawn(
        tmp_path,
        Shot(text, even, size, {"blocks": True}),
        *(Shot(text, view, size, {"lines": on}) for view in (even, odd) for on in (False, True)),
        *(Shot(text, (-20.0, 5.0, 1.0), (6, 6), {"outside": on}) for on in (False, True)),
    )
    want = image_of(model, low, high)[2:6, 5:9].repeat(8, 0).repeat(8, 1)
    assert np.abs(blocks[..., :3] - want).max() <= 1
    for plain, lined, at in ((*grids[:2], {0, 7}), (*grids[2:], {7})):  # a border between two screen pixels, or on one
        changed = (plain != lined).any(-1)
        borders = np.isin(np.arange(32) % 8, list(at))
        assert changed[borders].all() and changed[:, borders].all() and not changed[~borders][:, ~borders].any()
    assert not hidden.any() and (shown[..., 3] == 255).all()


def test_frames_that_are_drawn_in_tiles_are_the_view(page):
    script = """(() => {
      const screen = sirenPage.screen(), { canvas, painter } = screen;
      Object.assign(canvas, { width: 150, height: 131 });
      const view = { y: 5.3, x: 7.1, zoom: 9.7 };
      screen.stop();
      screen.cost = 1; // a second for 1000 pixels: coarse at first
      screen.request(view, {});
      screen.stop();
      screen.frame = 0;
      screen.move();
      const scales = [screen.scale];
      for (let i = 0; i < 1000 && !(screen.scale === 1 && !screen.tiles.length); i++) {
        screen.cost = 1;
        screen.refine();
        scales.push(screen.scale);
      }
      const want = painter.pixels(view, 150, 131), found = new Uint8Array(want.length), { gl } = painter;
      gl.bindFramebuffer(gl.FRAMEBUFFER, screen.current.framebuffer);
      gl.readPixels(0, 0, 150, 131, gl.RGBA, gl.UNSIGNED_BYTE, found);
      let worst = 0;
      for (let row = 0; row < 131; row++)
        for (let i = 0; i < 600; i++)
          worst = Math.max(worst, Math.abs(found[600 * (130 - row) + i] - want[600 * row + i]));
      return { scales: [...new Set(scales)], worst };
    })()"""
    found = asked(page, script)
    assert found["scales"] == [32, 8, 2, 1] and found["worst"] <= 1


CONTROLS = """(() => {
  const { view } = sirenPage, canvas = document.getElementById("image");
  const at = () => [view.y, view.x, view.zoom];
  const key = (name) => dispatchEvent(new KeyboardEvent("keydown", { key: name, cancelable: true }));
  const touch = (kind, pointerId, clientX, clientY) =>
    canvas.dispatchEvent(new PointerEvent(kind, { pointerId, clientX, clientY }));
  canvas.setPointerCapture = () => {}; // made-up pointers can't be captured
  const found = { start: at() };
  key("+"); found.plus = at();
  key("-"); key("ArrowRight"); found.right = at();
  key("0"); found.whole = at();
  canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -1000, clientX: 100, clientY: 80, cancelable: true }));
  found.wheel = at();
  key("0"); touch("pointerdown", 1, 50, 60); touch("pointermove", 1, 70, 90); touch("pointerup", 1, 70, 90);
  touch("pointermove", 1, 500, 500); found.drag = at();
  key("0"); touch("pointerdown", 1, 100, 100); touch("pointerdown", 2, 200, 100); touch("pointermove", 2, 300, 100);
  touch("pointerup", 1, 100, 100); touch("pointerup", 2, 300, 100); found.pinch = at();
  for (let i = 0; i < 200; i++) key("+");
  found.deepest = at();
  for (let i = 0; i < 200; i++) key("-");
  found.smallest = at();
  key("1"); found.actual = at();
  key("g"); key("P"); key("h");
  found.pressed = [...document.querySelectorAll("[aria-pressed=true]")].map((button) => button.id);
  found.bare = document.body.className;
  key("?"); found.help = document.getElementById("help").open;
  found.window = [innerHeight, innerWidth, devicePixelRatio];
  found.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  found.text = ["title", "facts", "scale"].map((id) => document.getElementById(id).textContent);
  return found;
})()"""


def test_keys_wheel_drag_and_pinch_move_and_zoom(page):
    found = asked(page, CONTROLS)
    height, width, density = found["window"]
    assert density == 1
    fit = 0.94 * min(height / SIZE[0], width / SIZE[1])
    assert found["start"] == found["whole"] == pytest.approx([5.5, 7.0, fit])
    assert found["plus"] == pytest.approx([5.5, 7.0, 1.5 * fit])
    assert found["right"] == pytest.approx([5.5, 7.0 + 60 / fit, fit])
    assert found["drag"] == pytest.approx([5.5 - 30 / fit, 7.0 - 20 / fit, fit])
    y, x, zoom = found["wheel"]
    down, right = 80 - height / 2, 100 - width / 2
    assert zoom == pytest.approx(fit * np.exp(1.5))
    assert (y + down / zoom, x + right / zoom) == pytest.approx((5.5 + down / fit, 7.0 + right / fit))
    assert found["pinch"][2] == pytest.approx(2 * fit)
    assert found["deepest"][2] == 1e12 and found["smallest"][2] == pytest.approx(fit / 4)
    assert found["actual"][2] == 1
    assert sorted(found["pressed"]) == ["blocks", "lines"] and found["bare"] == "bare" and found["help"]
    assert found["loaded"] == []
    assert found["text"] == ["page", "11 × 14 pixels · 31.3 dB · 123 weights in 1 kB", "zoom 1.00×"]


def test_a_hostile_title_is_shown_and_not_run(tmp_path):
    title = HOSTILE.replace("\udc80", "")
    path = save_page(siren_model([2, 8, 3]), tmp_path / "page.html", SIZE, title)
    found = asked(
        path, "[document.getElementById('title').textContent, document.images.length, document.scripts.length]"
    )
    assert found == [title, 0, 6]  # the data, the page's script and the one that asks


def test_where_webgl2_is_missing_the_page_says_so(page):
    document = run(page, graphics=("--disable-gpu", "--disable-3d-apis"))
    message = re.search(r'<p id="message"[^>]*>(.*?)</p>', document)
    assert "needs WebGL2" in message[1] and "hidden" not in message[0]


def test_where_textures_of_decimal_numbers_are_missing_the_page_says_so(page):
    script = """(() => {
      const canvas = document.createElement("canvas"), gl = canvas.getContext("webgl2");
      gl.getError = () => gl.INVALID_ENUM;
      const data = { units: new Float64Array(24), weights: new Uint16Array(4), labels: [] };
      try {
        return new Painter(gl, sirenPage.page, data);
      } catch (error) {
        return error.message;
      }
    })()"""
    assert asked(page, script) == "This graphics card has no textures of decimal numbers."

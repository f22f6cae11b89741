"""A real browser for the tests of web pages: it opens a page without a window and answers what a script asks of it."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from html import unescape
from pathlib import Path

import numpy as np
import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL2 without a graphics card
OPTIONS = ("--headless", "--no-sandbox", "--no-first-run", "--disable-extensions", "--hide-scrollbars")


@cache
def browser() -> str | None:
    """The path of a Chromium, if this machine has one."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


needs_browser = pytest.mark.skipif(
    browser() is None, reason="no Chromium here: `apt-get install chromium-headless-shell`, or any other Chromium"
)


def run(page: Path, *options: str, graphics: tuple[str, ...] = SOFTWARE) -> str:
    """Open a file; return the document as it is after its scripts have run."""
    with tempfile.TemporaryDirectory(prefix="page_browser_", ignore_cleanup_errors=True) as profile:
        command = [browser(), *OPTIONS, *graphics, f"--user-data-dir={profile}", *options, "--dump-dom", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(page: Path, expression: str, *options: str, **how):
    """The value of a JavaScript expression in the opened page, through JSON."""
    script = f"document.body.dataset.answer = JSON.stringify({expression} ?? null);"
    text = page.read_text(encoding="utf-8")
    allowed = f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}' "
    assert text.count("script-src ") == text.count("</body>") == 1
    text = text.replace("script-src ", allowed).replace("</body>", f"<script>{script}</script>\n</body>")
    copy = page.with_name(f"{page.stem}_asked.html")
    copy.write_text(text, encoding="utf-8")
    document = run(copy, *options, **how)
    answer = re.search(r'<body[^>]*data-answer="([^"]*)"', document)
    assert answer, document[-3000:]
    return json.loads(unescape(answer[1]))


@dataclass(frozen=True)
class Shot:
    """A view of a page: its centre (row, column) and zoom in image pixels, and the (height, width) to draw."""

    text: str  # of the page
    view: tuple[float, float, float]
    size: tuple[int, int]
    options: dict = field(default_factory=dict)  # such as blocks=True


DRAWN = """((shots) => {
  const gl = document.getElementById("image").getContext("webgl2");
  const decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return shots.map(([page, units, weights, labels, [y, x, zoom], [height, width], options]) => {
    const data = {
      units: new Float64Array(decoded(units).buffer),
      weights: new (page.half ? Uint16Array : Float32Array)(decoded(weights).buffer),
      labels: decoded(labels),
    };
    return Array.from(new Painter(gl, page, data).pixels({ y, x, zoom }, width, height, options));
  });
})"""


def drawn(folder: Path, *shots: Shot) -> list[np.ndarray]:
    """The 8-bit colours (height, width, 4) of each shot. One browser draws all: the first page lends its scripts."""
    host = folder / "host.html"
    host.write_text(shots[0].text, encoding="utf-8")
    parts = [
        [json.loads(block(shot.text, "page")), *(block(shot.text, name) for name in ("units", "weights", "labels"))]
        + [shot.view, shot.size, shot.options]
        for shot in shots
    ]
    found = asked(host, f"{DRAWN}({json.dumps(parts)})")
    return [np.array(pixels, np.uint8).reshape(*shot.size, 4) for pixels, shot in zip(found, shots, strict=True)]


def block(text: str, name: str) -> str:
    """The content of one of a page's data blocks."""
    return re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', text, flags=re.S)[1]

"""One HTML file from its parts: the template, the styles and scripts of this folder, a page's values and its numbers.

The file may load nothing (its Content-Security-Policy forbids every request) and runs no script but this one, whose
hash the policy names. Texts of users are JSON, in which `<` is escaped, and reach the page as text only.
"""

import base64
import hashlib
import json
import re
from importlib.resources import files

from siren_fastai import __version__

__all__ = ["html_file"]

SCRIPTS = ("painter.js", "screen.js", "view.js", "controls.js", "main.js")


def html_file(
    values: dict,  # plain values for the script
    units: bytes,
    weights: bytes,
    labels: bytes,
) -> str:
    """The whole file."""
    style, script = _read("page.css"), "\n".join(_read(name) for name in SCRIPTS)
    parts = {
        "policy": f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "generator": f"siren_fastai {__version__}",
        "style": style,
        "script": script,
        "page": json.dumps(values, allow_nan=False).replace("<", "\\u003c"),
        "units": _text(units),
        "weights": _text(weights),
        "labels": _text(labels),
    }
    return re.sub("@([a-z]+)@", lambda match: parts[match[1]], _read("page.html"))


def _read(name: str) -> str:
    return files("siren_fastai.page").joinpath(name).read_text(encoding="utf-8")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _source(text: str) -> str:
    """The policy's name for an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

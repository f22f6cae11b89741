"""A `.sirn` file as a web page."""

import os
from pathlib import Path

from siren_fastai.page.save import save_page
from siren_fastai.sirn.contents import Encoded
from siren_fastai.sirn.decode import models_of

__all__ = ["save_coded_page"]


def save_coded_page(
    encoded: Encoded,  # of `siren_fastai.sirn.decode.read_file`
    path: str | os.PathLike,  # the file to write
    title: str | None = None,  # shown in a corner; None is the file's name
    weights: str = "auto",  # as for `siren_fastai.page.save.page_html`
) -> Path:
    """Write a web page that draws the image of a `.sirn` file at any zoom, and return its path.

    Label maps come along: a position has the label of its cell at any zoom.
    Raises: ValueError for a file with a denoiser, and as `save_page`.
    """
    if encoded.denoise is not None:
        raise ValueError(
            f"the file smooths its pixels by {encoded.denoise.method!r} after decoding, which a page of endless zoom "
            "can't: `decompress` writes the image, and compressing without `denoise` makes a file for a page"
        )
    size, options = (encoded.height, encoded.width), {"grid": encoded.grid, "mean": encoded.mean, "weights": weights}
    return save_page(models_of(encoded), path, size, title, **options)

"""Images next to what an autoencoder makes of them, in one drawing."""

from matplotlib.figure import Figure
from torch import Tensor

from siren_fastai.error_maps import absolute_error
from siren_fastai.figures import mosaic, show_pictures

__all__ = ["show_reconstructions"]


def show_reconstructions(
    images: Tensor,  # (n, c, h, w) in [0, 1]
    reconstructions: Tensor,  # of the same shape
    large: Tensor | None = None,  # the same, drawn at another size; None leaves them out
    **kwargs,  # as for `show_pictures`
) -> Figure:
    """Draw images, their reconstructions, those drawn larger, and the absolute error, each as one mosaic."""
    panels = {"image": mosaic(images), "reconstruction": mosaic(reconstructions)}
    if large is not None:
        scale = large.shape[-1] // images.shape[-1]
        panels["drawn twice as large" if scale == 2 else "drawn larger"] = mosaic(large, gap=max(1, scale))
    panels["error"] = absolute_error(panels["reconstruction"], panels["image"])
    return show_pictures(panels, **kwargs)

"""Watch the image emerge during a fit: live in a notebook, and as an animation."""

from collections.abc import Sequence
from pathlib import Path

from fastcore.imports import IN_NOTEBOOK
from PIL import Image

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.snapshots import SnapshotCallback, snapshot
from siren_fastai.files import replacing
from siren_fastai.images import to_uint8

__all__ = ["WatchFit"]


class WatchFit(SnapshotCallback):
    """Render the image after the first epoch of a fit, then every `every` epochs, and after the last.

    A notebook shows it live. The animation at `path` is written after each fit, with the frames of all fits. Values go
    from black to white over the data's `value_range`. An exported learner keeps no frames.
    Raises: ValueError for a bad `path`, `every`, `size` or `fps`, at once; before the first batch for data that aren't
        a grey or RGB image on a grid.
    """

    order, _stateattrs = MetricHistory.order + 2, ("frames", "display")

    def __init__(
        self,
        path: str | Path | None = None,  # the animation, a .webp or .gif; None only shows, in a notebook
        every: int = 1,  # epochs between frames
        size: int | Sequence[int] | None = None,  # of the frames, as for `render`; None is the data's
        fps: float = 8,  # frames per second of the animation
    ):
        super().__init__(every, size)
        if path is not None and Path(path).suffix.lower() not in (".webp", ".gif"):
            raise ValueError(f"`path` must end in .webp or .gif, got {str(path)!r}")
        if not fps > 0:
            raise ValueError(f"`fps` must be above 0 frames per second, got {fps!r}")
        self.path, self.fps = path and Path(path), fps
        self._init_state()

    def _init_state(self):
        """fastcore's: after the constructor, and after loading, when the attributes in `_stateattrs` are missing."""
        self.frames, self.display = [], None

    def take(self):
        pixels = to_uint8(snapshot(self.model, self.dls.train_ds, self.size))
        frame = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        if self.path is not None:
            self.frames.append(frame)
        if IN_NOTEBOOK:
            self._show(frame)

    def _show(self, frame):
        from IPython.display import display  # only in a notebook, where IPython runs

        if self.display is None:
            self.display = display(frame, display_id=True)
        else:
            self.display.update(frame)

    def after_fit(self):
        super().after_fit()
        self.display = None
        if self.fitting and self.frames:
            with replacing(self.path) as temporary:
                options = dict(save_all=True, append_images=self.frames[1:], duration=round(1000 / self.fps), loop=0)
                self.frames[0].save(temporary, **options)

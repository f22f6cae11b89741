"""The picture emerging during the fit: live in a notebook, an animation otherwise."""

from pathlib import Path

from fastai.callback.core import Callback
from fastcore.imports import IN_NOTEBOOK
from PIL import Image

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.files import replacing
from siren_fastai.images import to_uint8
from siren_fastai.render import render

__all__ = ["WatchFit"]


class WatchFit(Callback):
    """Render the picture every `every` epochs and after the last: live in a notebook, and as an animation at `path`.

    path: a .webp or .gif, written after each fit with the frames of all fits; None only shows (in a notebook).
    size: of the frames, as for `render`; None is the data's. fps: frames per second of the animation.
    Values go from black to white over the data's `value_range`. An exported learner keeps no frames.
    """

    order, _stateattrs = MetricHistory.order + 2, ("frames", "display")

    def __init__(self, path: str | Path | None = None, every: int = 1, size=None, fps: float = 8):
        if path is not None and Path(path).suffix.lower() not in (".webp", ".gif"):
            raise ValueError(f"`path` must end in .webp or .gif, got {str(path)!r}")
        if every < 1 or not fps > 0:
            raise ValueError(f"`every` must be 1 epoch or more and `fps` above 0, got {every!r} and {fps!r}")
        self.path, self.every, self.size, self.fps = path and Path(path), every, size, fps
        self._init_state()

    def _init_state(self):
        """fastcore's: after the constructor and after loading, when what `_stateattrs` names is missing."""
        self.frames, self.display = [], None

    def before_fit(self):
        self.watching, self.display = False, None

    def before_train(self):
        self.watching = not hasattr(self, "lr_finder")
        data = self.dls.train_ds
        if len(getattr(data, "shape", ())) != 2 or not data.grid or data.n_channels not in (1, 3):
            raise ValueError("`WatchFit` needs a grey or RGB picture on a grid: use PixelDataLoaders.from_image")

    def after_epoch(self):
        last = self.epoch == self.n_epoch - 1
        if not self.watching or (self.epoch % self.every and not last):
            return
        data = self.dls.train_ds
        size = data.shape if self.size is None else self.size
        pixels = to_uint8(data.to_unit(render(self.model, size, grid=data.grid, clamp=data.value_range)))
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
        self.display = None
        if self.watching and self.frames:
            with replacing(self.path) as temporary:
                options = dict(save_all=True, append_images=self.frames[1:], duration=round(1000 / self.fps), loop=0)
                self.frames[0].save(temporary, **options)

"""Save the picture when it first reaches each level of quality."""

from collections.abc import Sequence
from pathlib import Path

from fastai.callback.core import Callback

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.images import save_image
from siren_fastai.quality import convert_mse, psnr, psnr_from_mse
from siren_fastai.render import render

__all__ = ["USABILITY_LEVELS", "SavePictureAt"]

# Low frequencies are there / most structure / largely similar: losses on ImageNet-normalised colours in the
# initialisation study of pugh_torch, here as PSNR in dB of values in [0, 1].
USABILITY_LEVELS = {mse: psnr_from_mse(convert_mse(mse, "imagenet", "unit")) for mse in (0.08, 0.02, 0.0008)}


class SavePictureAt(Callback):
    """After the first epoch at or above each PSNR in `levels` (dB), save the picture as `folder/at_29.9dB.png`.

    levels: PSNR of all pixels over the data's `value_range`, which the file shows from black to white; by default the
    three usability levels 23.9, 29.9 and 43.9 dB. An epoch that passes several levels saves one file for each. `saved`
    maps level -> (path, epoch over all fits, PSNR). Files that exist are replaced. `every`: epochs between looks, each
    of which costs a rendering.
    """

    order = MetricHistory.order + 1

    def __init__(self, folder: str | Path = ".", levels: Sequence[float] | None = None, every: int = 1):
        levels = tuple(USABILITY_LEVELS.values()) if levels is None else tuple(levels)
        if not levels or not all(level > 0 for level in levels):
            raise ValueError(f"`levels` must be PSNRs in dB above 0, got {levels!r}")
        if every < 1:
            raise ValueError(f"`every` must be 1 epoch or more, got {every!r}")
        self.folder, self.levels, self.every = Path(folder), sorted(levels), every
        self.saved, self.epochs = {}, 0

    def before_fit(self):
        self.looking = False

    def before_train(self):
        self.looking = not hasattr(self, "lr_finder")
        data = self.dls.train_ds
        if len(getattr(data, "shape", ())) != 2 or not data.grid or data.n_channels not in (1, 3):
            raise ValueError("`SavePictureAt` needs a grey or RGB picture on a grid: use PixelDataLoaders.from_image")

    def after_epoch(self):
        if not self.looking:
            return
        self.epochs += 1
        missing = [level for level in self.levels if level not in self.saved]
        if missing and self.epochs % self.every == 0:
            self._save(missing)

    def _save(self, missing):
        data = self.dls.train_ds
        picture = data.to_unit(render(self.model, data.shape, grid=data.grid, clamp=data.value_range))
        seen = slice(None) if data.pixels is None else data.pixels.cpu()
        quality = psnr(picture.view(-1, data.n_channels)[seen], data.to_unit(data.values).cpu(), clamp=False)
        for level in missing:
            if quality >= level:
                path = self.folder / f"at_{level:.1f}dB.png"
                save_image(picture, path)
                self.saved[level] = (path, self.epochs - 1, quality)

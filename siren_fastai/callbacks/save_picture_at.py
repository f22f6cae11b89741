"""Save the image when it first reaches each level of quality."""

from collections.abc import Sequence
from pathlib import Path

from siren_fastai.callbacks.metric_history import MetricHistory
from siren_fastai.callbacks.snapshots import SnapshotCallback, snapshot
from siren_fastai.images import save_image
from siren_fastai.quality import convert_mse, psnr, psnr_from_mse

__all__ = ["USABILITY_LEVELS", "SavePictureAt"]

# Low frequencies are there / most structure / largely similar: losses on ImageNet-normalised colours in the
# initialisation study of pugh_torch, here as PSNR in dB of values in [0, 1].
USABILITY_LEVELS = {mse: psnr_from_mse(convert_mse(mse, "imagenet", "unit")) for mse in (0.08, 0.02, 0.0008)}


class SavePictureAt(SnapshotCallback):
    """Save the image as `folder/at_29.9dB.png` after the first epoch at or above each PSNR in `levels`.

    The PSNR is that of all training pixels over the data's `value_range`, which the file shows from black to white. It
    is computed after the first epoch of a fit, then every `every` epochs, and after the last; each time costs a
    rendering, until every level is reached. An epoch that passes several levels saves one file for each; files that
    exist are replaced. `saved` maps level -> (path, epoch over all fits, PSNR).
    Raises: ValueError for bad `levels`, `every` or `size`, at once; before the first batch for data that aren't a grey
        or RGB image on a grid with a known value range.
    """

    order = MetricHistory.order + 1

    def __init__(
        self,
        folder: str | Path = ".",  # of the files
        levels: Sequence[float] | None = None,  # PSNRs in dB; None is the usability levels 23.9, 29.9 and 43.9
        every: int = 1,  # epochs between renderings
        size: int | Sequence[int] | None = None,  # of the files, as for `render`; None is the data's
    ):
        super().__init__(every, size)
        levels = tuple(USABILITY_LEVELS.values()) if levels is None else tuple(levels)
        if not levels or not all(level > 0 for level in levels):
            raise ValueError(f"`levels` must be PSNRs in dB above 0, got {levels!r}")
        self.folder, self.levels = Path(folder), sorted(levels)
        self.saved, self.epochs = {}, 0

    def before_train(self):
        super().before_train()
        if self.dls.train_ds.value_range is None:
            raise ValueError("`SavePictureAt` needs the range of the values: give `from_array` a `value_range`")

    def after_epoch(self):
        self.epochs += self.fitting
        super().after_epoch()

    def take(self):
        missing = [level for level in self.levels if level not in self.saved]
        if missing:
            self._save(missing)

    def _save(self, missing):
        data = self.dls.train_ds
        image = snapshot(self.model, data)
        pixels = slice(None) if data.pixels is None else data.pixels.cpu()
        quality = psnr(image.view(-1, data.n_channels)[pixels], data.to_unit(data.values).cpu(), clamp=False)
        for level in missing:
            if quality >= level:
                path = self.folder / f"at_{level:.1f}dB.png"
                save_image(image if self.size is None else snapshot(self.model, data, self.size), path)
                self.saved[level] = (path, self.epochs - 1, quality)

"""The history in TensorBoard, for those who have it: `pip install siren_fastai[tensorboard]`."""

from pathlib import Path

from fastai.callback.core import Callback

from siren_fastai.fits.record import RecordFit

__all__ = ["LogTensorBoard"]


class LogTensorBoard(Callback):
    """Write loss, PSNR and SSIM of each epoch, and its learning rate, to event files in `folder`.

    Raises: ImportError if the package `tensorboard` is missing.
    """

    order = RecordFit.order + 1

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter  # an extra: torch does not install the package
        except ImportError:
            raise ImportError(
                "`tensorboard` needs the package tensorboard: pip install siren_fastai[tensorboard]"
            ) from None
        self.make, self.folder, self.writer = SummaryWriter, folder, None

    def after_epoch(self):
        rows = self.record_fit.rows
        if not rows or rows[-1][0] != self.epoch:  # an epoch that was skipped
            return
        self.writer = self.writer or self.make(str(self.folder))
        names = ("train/loss", "train/psnr", "train/ssim", "train/lr")
        for name, value in zip(names, [*rows[-1][1:], self.opt.hypers[-1]["lr"]], strict=True):
            self.writer.add_scalar(name, value, self.epoch)

    def close(self) -> None:
        """Flush the event file; also after an interruption."""
        if self.writer is not None:
            self.writer.close()

"""The signals of a stack drawn: targets above reconstructions."""

from fastai.learner import Learner
from fastcore.meta import delegates
from matplotlib.figure import Figure
from torch import Tensor

from siren_fastai.data.dataset import PixelDataset
from siren_fastai.data.indexed import checked_count
from siren_fastai.data.loader import PixelDL
from siren_fastai.data.stacked import StackDL
from siren_fastai.figures import show_pairs
from siren_fastai.quality import psnr, snr

__all__ = ["show_results"]


@delegates(show_pairs, but=["pairs", "labels", "ranges"])
def show_results(
    learn: Learner,  # a `StackLearner`
    dl: StackDL | PixelDL,  # whose samples are the targets
    max_n: int = 9,  # signals, at most
    **kwargs,
) -> Figure:
    """Draw each target above its reconstruction, with its name and PSNR (of sounds, the SNR)."""
    pairs, ranges = {}, []
    for i, name in enumerate(learn.names[: checked_count("max_n", max_n)]):
        single, own = learn.single(i), dl.loaders[i] if isinstance(dl, StackDL) else dl
        with single.no_bar():
            target, reconstruction = single.compared(own)
        data = own.dataset
        pairs[name + _quality(target, reconstruction, data)] = target, data.clamp(reconstruction)
        ranges.append(data.display_range)
    return show_pairs(pairs, ("target", "reconstruction"), ranges, **kwargs)


def _quality(target: Tensor, reconstruction: Tensor, data: PixelDataset) -> str:
    """How good the reconstruction is where the target is known; nothing to say if the values' range isn't known."""
    if data.value_range is None:
        return ""
    known, (low, high) = ~target.isnan(), data.value_range
    pair = data.clamp(reconstruction)[known], target[known]
    return f"\n{snr(*pair) if data.is_sound else psnr(*pair, high - low, (low, high)):.1f} dB"

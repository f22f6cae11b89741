"""The settings of an inpainting network, checked: a network is built from them, and a file stores them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from siren_fastai.inpainting.blocks import NORMS
from siren_fastai.inpainting.prefill import PREFILLS

__all__ = ["NetworkSettings"]

CHOICES = {
    "kind": ("ae", "ae_fc", "unet"),
    "conv": ("plain", "gated", "partial"),
    "prefill": (*PREFILLS, "rays"),
    "norm": tuple(NORMS),
    "output": ("linear", "sigmoid"),
    "stem": (1, 2, 4),
}
BOUNDS = {
    "channels": 64,
    "convs": 8,
    "blocks": 8,
    "code_size": 2**16,
    "widths": 4096,
    "dilation": 64,
    "size": 4096,
}  # greatest
MAX_LEVELS = 8


@dataclass(frozen=True)
class NetworkSettings:
    """What an inpainting network is made of. Raises: ValueError for values that are unknown or don't go together."""

    kind: str = "unet"  # "unet", "ae" without skips, or "ae_fc" with a linear bottleneck too
    channels: int = 3  # of the images: 3 for RGB, 1 for gray
    widths: Sequence[int] = (32, 64, 128, 256)  # channels of each level; a level has half the size of the one before
    convs: int = 2  # 3x3 convolutions per level, down and up
    blocks: Sequence[int] = ()  # residual blocks of two convolutions at each level, after the others; () is none
    last_skip: bool = True  # whether the decoder's last level sees the encoder's first: it can copy the hole then
    dilation: Sequence[int] = ()  # rates of further convolutions at the deepest level, as (2, 4, 8)
    conv: str = "plain"  # "plain", "gated" or "partial"
    attention: bool = False  # self-attention at the deepest level
    mask_channel: bool | None = None  # whether the mask is an input too; None: yes, but not for partial convolutions
    prefill: str = "black"  # what the network finds in the hole: "black", "mean", "smooth", or "rays", at half the size
    residual: bool = False  # whether the output is added to the filled input, so that a new network returns that
    stem: int = 1  # pixels on a side that become one position at the first level: 2 costs a quarter
    norm: str = "batch"  # "batch", "group" or "none"
    output: str = "linear"  # "linear", which may leave [0, 1], or "sigmoid"
    size: Sequence[int] | None = None  # (height, width) of all images: for "ae_fc" only, which needs it
    code_size: int = 512  # values of the linear bottleneck: for "ae_fc" only

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"`{name}` must be one of {choices}, got {getattr(self, name)!r}")
        for name in ("widths", "blocks", "dilation", "size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, most in BOUNDS.items():
            self._check_counts(name, most)
        if not 1 <= len(self.widths) <= MAX_LEVELS:
            raise ValueError(f"`widths` must have 1 to {MAX_LEVELS} levels, got {len(self.widths)}: {self.widths}")
        if self.blocks and len(self.blocks) != len(self.widths):
            raise ValueError(f"`blocks` must be one number for each of {len(self.widths)} levels, got {self.blocks}")
        if self.mask_channel is None:
            object.__setattr__(self, "mask_channel", self.conv != "partial")
        for name in ("last_skip", "attention", "mask_channel", "residual"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"`{name}` must be True or False, got {getattr(self, name)!r}")
        self._check_together()

    @property
    def divisor(self) -> int:
        """The number of pixels that sides are padded to a multiple of."""
        return self.stem * 2 ** (len(self.widths) - 1 + (self.prefill == "rays"))

    def to_dict(self) -> dict:
        """The settings as JSON has them: `NetworkSettings(**settings)` is equal."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def _check_counts(self, name: str, most: int) -> None:
        value = getattr(self, name)
        for count in value if isinstance(value, tuple) else [value]:
            if count is not None and (type(count) is not int or not 1 <= count <= most):
                raise ValueError(f"`{name}` must be of integers from 1 to {most}, got {value!r}")

    def _check_together(self) -> None:
        if self.mask_channel and self.conv == "partial":
            raise ValueError("partial convolutions read the mask already: leave `mask_channel` out, or say False")
        if self.prefill == "rays" and (self.output == "sigmoid" or self.conv == "partial"):
            raise ValueError(
                'prefill="rays" draws a blend of known pixels and a residual: it needs output="linear", and "plain" '
                f'or "gated" convolutions, got {self.output!r} and {self.conv!r}'
            )
        if self.residual and self.output == "sigmoid":
            raise ValueError('a residual is added as it is: with residual=True the output must be "linear"')
        fits = self.size is not None and len(self.size) == 2 and not any(n % self.divisor for n in self.size)
        if self.kind == "ae_fc" and not fits:
            raise ValueError(
                f'"ae_fc" needs `size`, (height, width) of all images in multiples of {self.divisor} pixels, got '
                f"{self.size}"
            )
        if self.kind != "ae_fc" and self.size is not None:
            raise ValueError(f'only "ae_fc" has a fixed `size`; "{self.kind}" takes images of any size')

"""Networks that fill holes: convolutional autoencoders and U-Nets, from one factory.

All take an image and its mask, and draw the whole image. The composite is left to the caller.
Sources: U-Net: Ronneberger et al. 2015, arXiv:1505.04597; with partial convolutions: Liu et al. 2018, arXiv:1804.07723.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siren_fastai.inpainting.blocks import Attention, Chain, ConvUnit, LinearBottleneck, Merge, Residual, residual_block
from siren_fastai.inpainting.convolutions import receptive_field
from siren_fastai.inpainting.prefill import PREFILLS
from siren_fastai.inpainting.ray_input import RAY_OUTPUTS, RayInput, ray_features
from siren_fastai.inpainting.settings import NetworkSettings
from siren_fastai.models.flops import forward_flops

__all__ = ["InpaintingNetwork", "ae", "ae_fc", "inpainting_network", "unet"]

COLORS = {1: "gray", 3: "RGB"}


class InpaintingNetwork(nn.Module):
    """An encoder and a decoder with skips between their levels, or without.

    What is in the hole has no influence. Sides that aren't multiples of `divisor` are padded as a hole, and the output
    is cropped. A linear output isn't clamped.
    Shapes: (n, c, h, w) floats in [0, 1] and a mask (n, 1, h, w), bool or 0 and 1, 1 being known -> (n, c, h, w).
    Raises: TypeError and ValueError for other shapes and types, and other channels than it was built for.
    """

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self._settings, widths = settings, settings.widths
        area, last = settings.stem**2, len(widths) - 1
        self.on_rays = settings.prefill == "rays"
        more = (ray_features(settings.channels), RAY_OUTPUTS) if self.on_rays else (0, 0)
        inputs = [(settings.channels + settings.mask_channel) * area + more[0], *widths]
        self.encoder = nn.ModuleList(
            self._level(i, inputs[i], width, stride=1 if i == 0 else 2) for i, width in enumerate(widths)
        )
        self.bottleneck = self._bottleneck()
        skips = [settings.kind == "unet" and (i > 0 or settings.last_skip) for i in range(last)]
        self.skips = skips[::-1]  # deepest first, as the decoder meets them
        partial, pairs = settings.conv == "partial", list(zip(widths[1:], widths, skips, strict=False))[::-1]
        self.merges = nn.ModuleList(Merge(deep, width, partial) for deep, width, _ in pairs)
        self.decoder = nn.ModuleList(
            self._level(last - 1 - i, width * (1 + skip), width) for i, (_, width, skip) in enumerate(pairs)
        )
        self.head = nn.Conv2d(widths[0], settings.channels * area + more[1], 3, padding=1)
        if settings.residual or self.on_rays:
            nn.init.zeros_(self.head.weight), nn.init.zeros_(self.head.bias)
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def forward(
        self,
        image: Tensor,  # (n, c, h, w)
        mask: Tensor,  # (n, 1, h, w)
    ) -> Tensor:
        self._check(image, mask)
        size = image.shape[2:]
        beyond = [side for n in reversed(size) for side in (0, -n % self.divisor)]
        image, known = F.pad(image, beyond), F.pad(mask.bool(), beyond)
        out = self._along_rays(image, known) if self.on_rays else self._prefilled(image, known)
        return out[..., : size[0], : size[1]]

    @property
    def settings(self) -> dict:
        """What `inpainting_network(**settings)` builds an equal network from, as JSON has it."""
        return self._settings.to_dict()

    @property
    def channels(self) -> int:
        """Of the images: 3 for RGB, 1 for gray."""
        return self._settings.channels

    @property
    def divisor(self) -> int:
        """The number of pixels that sides are padded to a multiple of."""
        return self._settings.divisor

    @property
    def receptive_field(self) -> float:
        """Side of the square of pixels that one pixel of the output depends on; infinite if it's the whole image.

        A hole that is larger has pixels that no known one influences. Only convolutions are counted: a prefill that
        isn't black, and group normalisation, also bring in the rest of the image.
        """
        if self._settings.attention or self._settings.kind == "ae_fc":
            return math.inf

        def layers(*parts: nn.Module) -> list[tuple]:
            return [unit.layer for part in parts for unit in part.modules() if isinstance(unit, ConvUnit)]

        stem = self._settings.stem
        path = [(2, 2, 1)] * self.on_rays + [(stem, stem, 1), *layers(self.encoder, self.bottleneck)]
        for merge, level in zip(self.merges, self.decoder, strict=True):
            path += merge.layers + layers(level)
        return receptive_field([*path, (3, 1, 1)])

    def gflops(
        self,
        size: tuple[int, int] = (128, 128),  # (height, width) in pixels
    ) -> float:
        """Return 1e-9 of the floating-point operations of filling one image; training takes about 3 times as many."""
        device, was_training = self.head.weight.device, self.training
        images = torch.zeros(1, self.channels, *size, device=device)
        try:
            return forward_flops(lambda image: self.eval()(image, torch.ones_like(image[:, :1])), images) / 1e9
        finally:
            self.train(was_training)

    def extra_repr(self) -> str:
        plain = NetworkSettings(kind=self._settings.kind, size=self._settings.size).to_dict()
        named = {name: value for name, value in self.settings.items() if value != plain[name] or name == "kind"}
        options = [f"{name}={value!r}" for name, value in named.items()]
        return ", ".join([*options, f"receptive field of {self.receptive_field} pixels"])

    def _level(self, level: int, n_in: int, width: int, stride: int = 1) -> Chain:
        """The convolutions of one level, of which the first has the stride, and its residual blocks."""
        kind, norm, convs = self._settings.conv, self._settings.norm, self._settings.convs
        units = [ConvUnit(width if i else n_in, width, kind, norm, 1 if i else stride) for i in range(convs)]
        count = self._settings.blocks[level] if self._settings.blocks else 0
        return Chain([*units, *(residual_block(width, kind, norm) for _ in range(count))])

    def _bottleneck(self) -> Chain:
        """What lies between encoder and decoder: dilated convolutions, attention, a linear bottleneck."""
        settings = self._settings
        width = settings.widths[-1]
        units = [ConvUnit(width, width, settings.conv, settings.norm, 1, rate) for rate in settings.dilation]
        parts = [Residual(unit) for unit in units] + [Attention(width)] * settings.attention
        if settings.kind == "ae_fc":
            shape = (width, *(n // settings.divisor for n in settings.size))
            parts.append(LinearBottleneck(shape, settings.code_size))
        return Chain(parts)

    def _prefilled(self, image: Tensor, known: Tensor) -> Tensor:
        """The network's image, which is added to the filled one if it's a residual."""
        filled = PREFILLS[self._settings.prefill](image, known)
        x = torch.cat([filled, known.to(filled.dtype)], 1) if self._settings.mask_channel else filled
        x = F.pixel_unshuffle(x, self._settings.stem).contiguous(memory_format=torch.channels_last)
        x = F.pixel_shuffle(self.head(self._features(x, self._stem_mask(known))), self._settings.stem)
        if self._settings.output == "sigmoid":
            x = x.sigmoid()
        return filled + x if self._settings.residual else x

    def _along_rays(self, image: Tensor, known: Tensor) -> Tensor:
        """What the rays met, weighted by the network, and its residual."""
        rays, stem = RayInput(image, known), self._settings.stem
        filled = rays.filled() if self._settings.mask_channel else rays.filled()[:, :-1]
        x = torch.cat([F.pixel_unshuffle(filled, stem), F.avg_pool2d(rays.features(), stem)], 1)
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.head(self._features(x, self._stem_mask(rays.half_known))).contiguous()
        changes = F.interpolate(x[:, :RAY_OUTPUTS].contiguous(), scale_factor=stem, mode="bilinear")
        return rays.draw(changes, F.pixel_shuffle(x[:, RAY_OUTPUTS:].contiguous(), stem))

    def _features(self, x: Tensor, mask: Tensor) -> Tensor:
        skips = []
        for level in self.encoder:
            x, mask = level(x, mask)
            skips.append((x, mask))
        x, mask = self.bottleneck(x, mask)
        for merge, level, skip, use in zip(self.merges, self.decoder, skips[-2::-1], self.skips, strict=True):
            x, mask = level(*merge(x, mask, skip if use else None))
        return x

    def _stem_mask(self, known: Tensor) -> Tensor:
        """The mask of each channel after the stem, or of each position where the stem does nothing."""
        stem = self._settings.stem
        if stem == 1 or self._settings.conv != "partial":
            return known
        return F.pixel_unshuffle(known.float(), stem).bool().repeat(1, self.channels, 1, 1)

    def _check(self, image: Tensor, mask: Tensor) -> None:
        if not isinstance(image, Tensor) or not image.is_floating_point():
            kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"images must be a float tensor in [0, 1], got {kind}; divide uint8 images by 255")
        if image.dim() != 4 or image.shape[1] != self.channels:
            built = f"{self.channels} channels" + (f" ({COLORS[self.channels]})" if self.channels in COLORS else "")
            raise ValueError(
                f"the network was built for images (n, c, h, w) of {built}, got {tuple(image.shape)}: convert the "
                "images, or build it with other `channels`"
            )
        if mask.shape != (len(image), 1, *image.shape[2:]):
            raise ValueError(f"`mask` must be {(len(image), 1, *image.shape[2:])}, got {tuple(mask.shape)}")
        size = self._settings.size
        if size is not None and tuple(image.shape[2:]) != size:
            raise ValueError(
                f"this network has a linear bottleneck for images of {size[0]} x {size[1]} pixels, got "
                f"{image.shape[2]} x {image.shape[3]}: resize or crop them, or use a network without it"
            )


def inpainting_network(
    kind: str = "unet",  # "unet", "ae" or "ae_fc"
    **options,  # of `NetworkSettings`
) -> InpaintingNetwork:
    """Build a network from its settings. Raises: TypeError for unknown options; ValueError as `NetworkSettings`."""
    return InpaintingNetwork(NetworkSettings(kind=kind, **options))


def unet(
    last_skip: bool = True,  # whether the decoder's last level sees the encoder's first: it can copy the hole then
    conv: str = "plain",  # "plain", "gated" or "partial"
    **options,  # of `NetworkSettings`, as `widths`, `dilation` or `attention`
) -> InpaintingNetwork:
    """Build a U-Net: the decoder sees the encoder's levels. Raises: as `inpainting_network`."""
    return inpainting_network("unet", last_skip=last_skip, conv=conv, **options)


def ae(
    conv: str = "plain",  # "plain", "gated" or "partial"
    **options,  # of `NetworkSettings`
) -> InpaintingNetwork:
    """Build an autoencoder: all that the decoder knows passes through the deepest level. Raises: as the factory."""
    return inpainting_network("ae", conv=conv, **options)


def ae_fc(
    size: int | tuple[int, int] = 128,  # pixels of all images: the height and width, or (height, width)
    code_size: int = 512,  # values of the linear bottleneck
    **options,  # of `NetworkSettings`
) -> InpaintingNetwork:
    """Build an autoencoder whose deepest level is a linear bottleneck, for one size. Raises: as the factory."""
    size = (size, size) if isinstance(size, int) else size
    return inpainting_network("ae_fc", size=size, code_size=code_size, **options)

"""ResNet-18 without its pooling and classes, then one linear layer: what note 002 calls "resnet21".

Source: He et al. 2016, arXiv:1512.03385, sec. 4.1 and table 1. The note used weights trained on ImageNet; these are
random. The modules have torchvision's names, so that `encoder.trunk.load_state_dict(weights, strict=False)` takes a
file of its ResNet-18.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siren_fastai.autoencoder.shapes import check_count, check_image_shape, check_images

__all__ = ["ResNetEncoder", "resnet18_trunk"]

WIDTHS = (64, 128, 256, 512)
HALVINGS = 5  # the first convolution, the pooling, three of the four stages


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, added to the input."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out)
        self.conv2, self.bn2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out)
        self.relu, self.downsample = nn.ReLU(), nn.Identity()
        if stride > 1 or n_in != n_out:
            self.downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.downsample(x))


def resnet18_trunk(
    channels: int = 3,  # of the images
) -> nn.Sequential:
    """Return ResNet-18 up to its last convolution; 11 176 512 parameters for RGB.

    Convolutions are drawn by Kaiming's rule for the outputs, as in torchvision.
    Shapes: (n, channels, h, w) -> (n, 512, h/32, w/32), rounded up.
    """
    trunk = nn.Sequential()
    trunk.add_module("conv1", nn.Conv2d(channels, WIDTHS[0], 7, 2, 3, bias=False))
    trunk.add_module("bn1", nn.BatchNorm2d(WIDTHS[0]))
    trunk.add_module("relu", nn.ReLU())
    trunk.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    for i, (n_in, n_out) in enumerate(zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False)):
        trunk.add_module(
            f"layer{i + 1}", nn.Sequential(BasicBlock(n_in, n_out, 2 if i else 1), BasicBlock(n_out, n_out, 1))
        )
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return trunk


class ResNetEncoder(nn.Module):
    """ResNet-18 of any number of channels, flattened, then a linear layer to the code.

    Images of 32 x 32 pixels end as 1 x 1 with 512 channels: most of ResNet-18 then works on very few pixels.
    Shapes: (n, channels, height, width) -> (n, code_size).
    """

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),  # (channels, height, width) of the images
        code_size: int = 102,  # values per code
    ):
        super().__init__()
        self.shape, self.code_size = check_image_shape(shape), check_count("code_size", code_size)
        height, width = (-(-n // 2**HALVINGS) for n in self.shape[1:])
        self.trunk = resnet18_trunk(self.shape[0])
        self.linear = nn.Linear(WIDTHS[-1] * height * width, code_size)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(torch.flatten(self.trunk(check_images(images, self.shape)), 1))

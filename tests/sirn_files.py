"""Small `.sirn` contents for the codec's tests: networks with random weights, no fitting."""

import struct
import zlib

import numpy as np
import torch

from siren_fastai.models.siren import siren_model
from siren_fastai.quantize.quantizers import Quantizer, quantize, round_step
from siren_fastai.sirn.format import CodedTensor, Denoise, Encoded, Labels, Network

__all__ = ["coded", "encoded", "labels", "network", "reseal"]


def coded(weight, bits=6, by_row=False) -> CodedTensor:
    """A tensor quantised to `bits`, or halved for bits = 16."""
    weight = torch.as_tensor(weight, dtype=torch.float32).detach()
    if bits == 16:
        return CodedTensor("fp16", values=weight.numpy().astype(np.float16))
    largest = weight.abs().amax(1, keepdim=True) if by_row and weight.dim() == 2 else weight.abs().max()
    quantizer = Quantizer(bits, round_step(largest / (2 ** (bits - 1) - 1)))
    return CodedTensor("uniform", bits, quantizer.step, quantize(weight, quantizer).numpy())


def network(dims=(2, 8, 8, 3), bits=(6,), by_row=False, seed=0) -> Network:
    """A SIREN as it is drawn, its values around 0.5; `bits` are taken in turn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = siren_model(list(dims))
        state = list(model.state_dict().values())
        state[-2].mul_(8)
        state[-1].copy_(torch.full_like(state[-1], 0.5))
    tensors = [coded(t, bits[i % len(bits)], by_row) for i, t in enumerate(state)]
    return Network(list(dims), tensors)


def labels(shape=(6, 5), k=3, use="feature") -> Labels:
    """Stripes with a patch of the last label."""
    stripes = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // 3 % max(1, k - 1)
    stripes[: shape[0] // 2, : shape[1] // 2] = k - 1
    return Labels(stripes.astype(np.uint8), k, use)


def encoded(height=9, width=7, channels=3, hidden=(8, 8), with_labels=None, bits=(6,), **settings) -> Encoded:
    """A whole picture; `with_labels` is the use of a label map of three clusters, or None."""
    marks = labels(use=with_labels) if with_labels else None
    inputs = 2 + (Labels.features(3, with_labels) if marks else 0)
    count = 3 if with_labels == "network" else 1
    networks = [network((inputs, *hidden, channels), bits, seed=seed) for seed in range(count)]
    noise = settings.pop("denoise", None)
    return Encoded(height, width, channels, networks, labels=marks, denoise=noise and Denoise(*noise), **settings)


def reseal(data: bytes) -> bytes:
    """The bytes with a checksum that fits."""
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))

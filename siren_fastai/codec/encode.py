"""The steps of an encode, each a function from values to values: fit, quantise, write."""

from dataclasses import dataclass, replace

import torch

from siren_fastai.codec.clusters import reassign_
from siren_fastai.codec.plan import Plan
from siren_fastai.codec.source import Source
from siren_fastai.codec.training import FittedNetwork, Trainer
from siren_fastai.quality import psnr
from siren_fastai.quantize.allocate import choose_quantizers, sample_error
from siren_fastai.quantize.quantizers import Quantizer, fit_quantizer
from siren_fastai.sirn.contents import Denoise
from siren_fastai.sirn.decode import decompress
from siren_fastai.sirn.encode import encoded_of
from siren_fastai.sirn.format import write
from siren_fastai.sirn.reader import TRUSTED

__all__ = ["Quantized", "file_of", "fit_source", "quantize_network"]

ROUNDS = 3  # of training before cells have their final networks, for clusters by error
RETUNES = 2  # further rounds of fine-tuning, at most, until the file fits
SAMPLES = 1 << 15  # pixels on which the bits of the tensors are chosen
TARGET_SHARE = 0.99  # of the bytes: what a round aims at
FALLBACK_BITS = 8  # of every tensor when Ctrl-C ends their choice


@dataclass(frozen=True)
class Quantized:
    """A network and the file of it. quantizers: by parameter name; None stores float16.

    psnr_untuned: of the file before fine-tuning, in dB.
    """

    network: FittedNetwork
    quantizers: dict[str, Quantizer] | None
    data: bytes
    psnr_untuned: float | None = None


def fit_source(source: Source, plan: Plan, trainer: Trainer) -> tuple[Source, FittedNetwork]:
    """Train a new network with float weights. The source comes back with the labels that its cells end with."""
    network, rounds = FittedNetwork(source.network(plan.dims)), min(plan.fit_steps, ROUNDS if source.by_error else 1)
    for i in range(rounds):
        network = trainer.fit(network, (i + 1) * plan.fit_steps // rounds - i * plan.fit_steps // rounds)
        if network.interrupted or i == rounds - 1:
            break
        reassign_(network.model, *source.samples())
        labels = replace(source.labels, map=network.model.features[..., 0].numpy().copy())
        source = replace(source, labels=labels)
    return source, network


def quantize_network(source: Source, network: FittedNetwork, plan: Plan, trainer: Trainer) -> Quantized:
    """The network in at most `plan.file_bytes`, with bits for each tensor by rate and distortion, then fine-tuned.

    Fine-tuning pays for bits; while the file is too large it goes on, at most twice. A file that is still too large
    gets its bits chosen once more, without training.
    """
    if plan.weights == "float16":
        return _written(source, network, None)
    found = _choose(source, network, plan, 8 * plan.tensor_bytes)
    untuned = psnr(decompress(found.data, TRUSTED), source.image)
    if plan.tuning_steps and not found.network.interrupted:
        found = _tune(source, found, plan, trainer, plan.tuning_steps)
    for _ in range(RETUNES):
        if found.network.interrupted or len(found.data) <= plan.file_bytes:
            break
        found = _tune(source, found, plan, trainer, plan.retune_steps, gently=True)
    budget = 8 * plan.tensor_bytes
    while len(found.data) > plan.file_bytes:
        found = _choose(source, found.network, plan, budget)
        budget *= TARGET_SHARE * min(1.0, plan.file_bytes / len(found.data))
    return replace(found, psnr_untuned=untuned)


def file_of(source: Source, found: Quantized, denoise: Denoise | None = None) -> bytes:
    """The bytes of the `.sirn` file."""
    model = found.network.model
    return write(encoded_of(model, source.size, found.quantizers, source.mean, source.labels, denoise))


def _choose(source: Source, network: FittedNetwork, plan: Plan, budget: float) -> Quantized:
    """Bits for each tensor within the budget, or the same number for all if Ctrl-C ends their choice."""
    coords, values = source.samples()
    some, by_row = torch.randperm(len(coords))[:SAMPLES], plan.weights == "quantized_rows"
    try:
        error = sample_error(coords[some], values[some])
        quantizers = choose_quantizers(network.model, error, budget, plan.bits, by_row)
    except KeyboardInterrupt:
        if network.interrupted:  # the second one
            raise
        network = replace(network, interrupted=True)
        named = network.model.named_parameters()
        quantizers = {name: fit_quantizer(p, FALLBACK_BITS, by_row) for name, p in named}
    return _written(source, network, quantizers)


def _tune(
    source: Source, found: Quantized, plan: Plan, trainer: Trainer, steps: int, gently: bool = False
) -> Quantized:
    """Train with quantised weights towards the bytes of the plan."""
    share = TARGET_SHARE * plan.file_bytes / len(found.data)
    return _written(source, *trainer.tune_towards(found.network, found.quantizers, share, steps, gently))


def _written(source: Source, network: FittedNetwork, quantizers: dict[str, Quantizer] | None) -> Quantized:
    found = Quantized(network, quantizers, b"")
    return replace(found, data=file_of(source, found))

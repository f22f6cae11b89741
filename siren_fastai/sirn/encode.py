"""From a trained network to a `.sirn` file's contents: the inverse of `decode.models_of`."""

from torch import Tensor, nn

from siren_fastai.models.cluster_networks import ClusterNetworks
from siren_fastai.models.siren import sine_layers
from siren_fastai.quantize.quantizers import Quantizer, quantize
from siren_fastai.sirn.contents import CodedTensor, Denoise, Encoded, Labels, Network

__all__ = ["encoded_of"]


def encoded_of(
    model: nn.Module,
    size: tuple[int, int],
    quantizers: dict[str, Quantizer] | None,
    mean: Tensor | None = None,
    labels: Labels | None = None,
    denoise: Denoise | None = None,
) -> Encoded:
    """The file's content: `model` is a SIREN, or what `decode.models_of` would make of `labels`.

    quantizers: by parameter name; None stores half precision.
    """
    nets = list(model) if isinstance(model, ClusterNetworks) else [model]
    prefixes = [f"{i}." for i in range(len(nets))] if isinstance(model, ClusterNetworks) else [""]
    networks = [_network(net, prefix, quantizers) for net, prefix in zip(nets, prefixes, strict=True)]
    omegas = [layer.omega_0 for layer in sine_layers(nets[0])]
    return Encoded(
        *size,
        networks[0].dims[-1],
        networks,
        omega_0=omegas[0],
        hidden_omega_0=omegas[-1],
        mean=None if mean is None else tuple(mean.tolist()),
        labels=labels,
        denoise=denoise,
    )


def _network(net: nn.Module, prefix: str, quantizers: dict[str, Quantizer] | None) -> Network:
    weights = [p for p in net.parameters() if p.dim() == 2]
    tensors = []
    for name, parameter in net.named_parameters():
        values = parameter.detach().cpu()
        if quantizers is None:
            tensors.append(CodedTensor("fp16", values=values.half().numpy()))
            continue
        quantizer = quantizers[prefix + name]
        symbols = quantize(values, quantizer).numpy()
        tensors.append(CodedTensor("uniform", quantizer.bits, quantizer.step.cpu(), symbols))
    return Network([weights[0].shape[1], *(len(weight) for weight in weights)], tensors)

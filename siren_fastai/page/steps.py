"""What a layer's sums go through, twice: in float64 here, and as GLSL for the page. A test compares the two.

The shader computes sines itself: a GPU's own may be as coarse as 2^-11, and wrong for large angles.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from siren_fastai.page.layers import Layer

__all__ = ["GLSL", "apply_layer", "glsl_call", "glsl_functions"]


def apply_layer(
    layer: Layer,
    x: Tensor,  # (n, n_in) float64
) -> Tensor:  # (n, n_out) float64
    """Compute the layer's outputs."""
    if layer.steps and layer.steps[0][0] == "radial":
        squares = (x[:, None] - layer.weight).square().sum(-1)
        z, steps = torch.exp(-(layer.bias * squares).square()), layer.steps[1:]
    else:
        z, steps = x @ layer.weight.t() + layer.bias, layer.steps
    for name, *numbers in steps:
        z = FUNCTIONS[name](z, *numbers)
    return z


def _encoding(z: Tensor, plain: int) -> Tensor:
    return torch.cat([z[:, :plain], z[:, plain:].sin()], dim=1)


def _gabor(z: Tensor, omega: float, sigma: float) -> Tensor:
    real, imaginary = z[:, ::2], z[:, 1::2]
    envelope = torch.exp(-(sigma**2) * (real.square() + imaginary.square()) - omega * imaginary)
    return torch.stack([envelope * (omega * real).cos(), envelope * (omega * real).sin()], dim=2).flatten(1)


FUNCTIONS = {
    "sine": lambda z, omega: torch.sin(omega * z),
    "finer": lambda z, omega: torch.sin(omega * (z.abs() + 1) * z),
    "gauss": lambda z, sigma: torch.exp(-(sigma * z).square()),
    "gabor": _gabor,
    "encoding": _encoding,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "selu": torch.selu,
    "elu": F.elu,
    "softplus": F.softplus,
}

PI_HIGH = 3.140625  # of 8 bits, so that its products with m below 2^15 are exact; PI_LOW is the rest
PI_LOW = math.pi - PI_HIGH
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, arXiv:1706.02515
LINEAR_ABOVE = 20.0  # where PyTorch's softplus is the identity

WAVE = f"""\
vec4 wave(vec4 x, float shift) {{  // sin(x + shift * pi): the angle to +-pi/2, then its series
  vec4 n = round(x * {1 / math.pi!r} + shift);
  vec4 m = n - shift;
  vec4 r = (x - m * {PI_HIGH!r}) - m * {PI_LOW!r};
  vec4 s = r * r;
  vec4 p = s * (-1.6666667e-1 + s * (8.3333333e-3 + s * (-1.9841270e-4 + s * (2.7557319e-6 - s * 2.5052108e-8))));
  return (r + r * p) * (1.0 - 2.0 * (n - 2.0 * floor(0.5 * n)));
}}"""

GLSL = {  # by the name of the step; each takes the sums of four units, and the step's numbers
    "sine": "vec4 step_sine(vec4 z, float omega) { return wave(omega * z, 0.0); }",
    "finer": "vec4 step_finer(vec4 z, float omega) { return wave(omega * (abs(z) + 1.0) * z, 0.0); }",
    "gauss": "vec4 step_gauss(vec4 z, float sigma) { z *= sigma; return exp(-z * z); }",
    "gabor": """\
vec4 step_gabor(vec4 z, float omega, float sigma) {
  vec2 real = z.xz, imaginary = z.yw;
  vec2 envelope = exp(-sigma * sigma * (real * real + imaginary * imaginary) - omega * imaginary);
  vec4 angles = omega * real.xxyy;
  vec4 cosines = wave(angles, 0.5), sines = wave(angles, 0.0);
  return envelope.xxyy * vec4(cosines.x, sines.y, cosines.z, sines.w);
}""",
    "relu": "vec4 step_relu(vec4 z) { return max(z, 0.0); }",
    "tanh": "vec4 step_tanh(vec4 z) { return 1.0 - 2.0 / (exp(2.0 * clamp(z, -20.0, 20.0)) + 1.0); }",
    "elu": "vec4 step_elu(vec4 z) { return max(z, 0.0) + exp(min(z, 0.0)) - 1.0; }",
    "selu": f"""\
vec4 step_selu(vec4 z) {{
  return {SELU_SCALE!r} * (max(z, 0.0) + {SELU_ALPHA!r} * (exp(min(z, 0.0)) - 1.0));
}}""",
    "softplus": f"""\
vec4 step_softplus(vec4 z) {{
  return mix(log(1.0 + exp(min(z, {LINEAR_ABOVE!r}))), z, greaterThan(z, vec4({LINEAR_ABOVE!r})));
}}""",
}


def glsl_functions(
    names: set[str],  # of steps
) -> str:
    """The GLSL functions of these steps, and what they call."""
    return "\n".join([WAVE, *(GLSL[name] for name in sorted(names))])


def glsl_call(
    step: tuple,  # the name and the numbers
    value: str,  # a GLSL expression
) -> str:
    """The GLSL expression of the step applied to `value`."""
    name, *numbers = step
    return f"step_{name}({', '.join([value, *(repr(float(number)) for number in numbers)])})"

"""Initialisation schemes for networks of sine layers: the rules of each, in one table. `apply_init_` draws them.

Sources: the 38 numbered schemes are a study of SIREN fits of one picture (2020; five sine layers of 256 and a linear
output, omega_0 = 30); "siren" is the official code of Sitzmann et al. 2020, arXiv:2006.09661 (supplement 1.5);
"siren_fastai2" is Siren-fastai2's; "weight_scaled" is Yeom et al. 2024, arXiv:2410.04779.
"""

import difflib
import math
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral

__all__ = [
    "HALF_OMEGA",
    "SCHEMES",
    "STUDY_GAIN",
    "TORCH_DEFAULT",
    "UNIT_GAIN",
    "Rule",
    "Scheme",
    "describe_schemes",
    "get_scheme",
]

LAWS = ("uniform", "normal", "linspace", "ball", "power")
STUDY_GAIN = 1 / 0.57792791  # the study's constant: 1 / np.linspace(-1, 1, 1000).std()
UNIT_GAIN = math.sqrt(3)  # exact for coordinates uniform on [-1, 1], whose standard deviation is 1 / sqrt(3)


@dataclass(frozen=True)
class Rule:
    """A law of size `scale / (n**per_n * omega_0**per_omega)`, with n the layer's number of inputs.

    "uniform" is on [-size, size]; "normal" has the standard deviation size; "linspace" goes from -size to size over the
    layer's outputs, without chance. Two laws draw a layer's rows, with no direction favoured: "ball" uniformly from the
    ball of radius size, and "power" with lengths of `size * u**exponent`, u uniform on [0, 1]: an exponent above 1 / n
    has more short rows than the ball, as photos have more low frequencies. `omega_0` is the layer's own; for a linear
    output, that of the sine layer before it.
    Raises: ValueError for an unknown law, or a scale or an exponent that is negative or not finite.
    """

    law: str  # "uniform", "normal", "linspace", "ball" or "power"
    scale: float  # 0 or more
    per_n: float = 0.0  # power of the number of inputs in the denominator
    per_omega: float = 0.0  # power of omega_0 in the denominator
    exponent: float = 2.0  # of "power" alone

    def __post_init__(self):
        if self.law not in LAWS:
            raise ValueError(f"`law` must be one of {LAWS}, got {self.law!r}")
        for name in ("scale", "exponent"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"`{name}` must be finite and 0 or more, got {value!r}")

    def size(self, n: int, omega_0: float) -> float:
        """Return the bound or the standard deviation for a layer of `n` inputs."""
        return self.scale / (n**self.per_n * omega_0**self.per_omega)

    def __mul__(self, factor: float) -> "Rule":
        return replace(self, scale=self.scale * factor)

    def __truediv__(self, divisor: float) -> "Rule":
        return self * (1 / divisor)

    def __str__(self) -> str:
        powers = [_power("n", self.per_n), _power("ω", self.per_omega)]
        size = "/".join([f"{self.scale:.4g}", *filter(None, powers)])
        size += f", exponent {self.exponent:g}" if self.law == "power" else ""
        return "0" if self.scale == 0 else f"{self.law}({size})"


def _power(name: str, exponent: float) -> str:
    return {0: "", 0.5: f"√{name}", 1: name}.get(exponent, f"{name}^{exponent:g}")


U, N, L, B, P = (partial(Rule, law) for law in LAWS)  # U(scale, power of n below, power of omega below)
TORCH_DEFAULT = U(1, 0.5)  # what nn.Linear draws for weights and biases alike
HALF_OMEGA = U(2, 0.5, 1)  # PyTorch's bias over omega_0 / 2: scheme 33 at omega 30, scheme 38 at omega 40


@dataclass(frozen=True)
class Scheme:
    """Rules for the weights and biases of a network of sine layers, the gain of its coordinates and its omega_0.

    A scheme of your own is `replace(SCHEMES[33], gain=UNIT_GAIN)`, by `dataclasses.replace`, or made from `Rule`s.
    **`omega_0=None` adapts to the model**: every layer keeps its own, and biases the model does not have are skipped.
    Raises: ValueError for a gain or an omega that is not above 0.
    """

    hidden: Rule  # weights of the sine layers after the first
    first: Rule  # weights of the first sine layer
    first_bias: Rule | None = TORCH_DEFAULT  # None: the first sine layer must have no bias
    hidden_bias: Rule | None = TORCH_DEFAULT  # None: the other sine layers must have no bias
    gain: float = 1.0  # multiplies the coordinates; `UNIT_GAIN` gives those on [-1, 1] unit deviation
    omega_0: float | None = 30.0  # radians per unit of input; None keeps the model's
    remark: str = ""
    hidden_omega_0: float | None = None  # of the sine layers after the first; None is `omega_0`
    output: Rule = TORCH_DEFAULT  # weights of a last linear layer
    output_bias: Rule = TORCH_DEFAULT  # its bias
    for_signal: bool = False  # where the signal is known, some of it follows the signal: see `init_for_signal_`
    first_samples: float | None = (
        None  # samples along an axis that `first` suits; with `for_signal` it is scaled to others
    )

    def __post_init__(self):
        for name in ("gain", "omega_0", "hidden_omega_0", "first_samples"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"`{name}` must be finite and above 0, got {value!r}")


# Abbreviations of the table
D, ZERO, G, PI = TORCH_DEFAULT, U(0), STUDY_GAIN, math.pi
U6, N6, NP = U(math.sqrt(6), 0.5, 1), N(math.sqrt(6), 0.5, 1), N(math.sqrt(PI / 2), 0.5, 1)
N1, HE = N(1, 1), U(math.sqrt(6), 0.5)
adapting = partial(Scheme, omega_0=None)

# The remarks are the study's own, each from one run; its losses are MSE of ImageNet-normalised colours: 8e-4 there is
# 4.09e-5, or 43.9 dB, on [0, 1]. An epoch was 7 steps of 8192 positions.
# fmt: off
SCHEMES: dict[int | str, Scheme] = {
    #  hidden weights, first weights, first bias, hidden bias, gain, omega_0, what the study says of it
    1: Scheme(U6, U(1, 1), D, D, 1, 30, "the paper's sine layers; 8e-4 after 1250 epochs"),
    2: Scheme(N6, N1, D, D, 1, 30, "not the normal twin of 1 (1.73 times its deviation): see normal_matched"),
    3: Scheme(N6 / 3, N1 / 3, D, D, 1, 30, "the first layer's 1/3fan_in/3 is read as 1/(3n)"),
    4: Scheme(U6, N1, D, D, 1, 30, "is it the first layer that matters?"),
    5: Scheme(U6, U(3, 1), D, D, 1, 30, "with 6, the first of 1-13 at 8e-4"),
    6: Scheme(U6, N(1.5, 1), D, D, 1, 30, "as fast as 5, a little more stable"),
    7: Scheme(N6 / 3, N(1.5, 1), D, D, 1, 30),
    8: Scheme(N6 / 2, N(1.5, 1), D, D, 1, 30, "near the lowest loss of 1-13"),
    9: Scheme(N6 / 2, N(4.5, 1), D, D, 1, 30),
    10: Scheme(NP, N(1.5, 1), D, D, 1, 30),
    11: Scheme(NP, N(PI / 2, 1), D, D, 1, 30),
    12: Scheme(U6, N(1.73, 1), D, D, 1, 30, "1/n over the coordinates' deviation: the same function as 14"),
    13: Scheme(U6, N(2, 1), D, D, 1, 30, "past that deviation"),
    14: Scheme(U6, N1, D, D, G, 30, "coordinates of deviation 1 from here on; normal, so not quite the paper's"),
    15: Scheme(U6, N1, ZERO, ZERO, G, 30, "fast, then diverged"),
    16: Scheme(U6, N1, D / 2, D / 2, G, 30),
    17: Scheme(U6, N1, D / 10, D / 10, G, 30, "good early"),
    18: Scheme(U6, N1, ZERO, D / 10, G, 30, "fastest, but stays above 8e-4"),
    19: Scheme(U6, N1, D / 10, D, G, 30, "only the first bias divided"),
    20: Scheme(U6, N1, None, None, G, 30, "odd around the output bias: the negative, turned by 180 degrees, shows"),
    21: Scheme(U6, N1, D / 30, D / 30, G, 30, "slower than 17 down to 7.5e-4, then lower"),
    22: Scheme(U6, N1, U(PI / 30), U(PI / 30), G, 30, "all phases; the lowest final loss, slower"),
    23: Scheme(U6, U(1, 1), L(PI / 30), L(PI / 30), G, 30, "evenly spaced phases; much like 22"),
    24: Scheme(U6, U(1, 1), L(PI / 30), L(PI / 30), G, 30, "23 on a second picture"),
    25: Scheme(U6, N1, D / 10, D / 10, G, 30, "17 on the second picture: better than 24"),
    26: Scheme(U6, U(1, 1), L(PI / 30), L(PI / 30), G, 30, "23 without weight decay: no effect"),
    27: Scheme(U6, N1, U(PI * 30), U(PI * 30), G, 30, "much like 22; weight decay meets biases of up to 94"),
    28: Scheme(U6, N1, U(PI / 60), U(PI * 30), G, 30, "half the phases in the first layer"),
    29: Scheme(U6, N1, U(PI / 60), U(PI / 60), G, 30, "slightly worse than 17"),
    30: Scheme(U6, N1, U(2.5, 0, 1), U(2.5, 0, 1), G, 30, "slightly worse than 29"),
    31: Scheme(U6, N1, U(3 * PI / 4, 0, 1), U(3 * PI / 4, 0, 1), G, 30, "between 29 and 30"),
    32: Scheme(U6, N1, U(2, 0, 1), U(2, 0, 1), G, 30, "worse"),
    33: Scheme(U6, N1, D / 15, D / 15, G, 30, "the study's best: 8e-4 after 450 epochs"),
    34: Scheme(U6, N1, D / 15, D / 15, G, 30, "33 on the second picture: confirmed"),
    35: Scheme(U6, N1, D / 15, D / 15, G, 10, "slow, similar losses"),
    36: Scheme(U6, N1, D / 15, D / 15, G, 50, "fast, plateaus early"),
    37: Scheme(U6, N1, D / 15, D / 15, G, 40, "almost usable, plateaus early"),
    38: Scheme(U6, N1, D / 20, D / 20, G, 40, "about the same as 37"),
    "siren": adapting(U6, U(1, 1), output=U6, remark="the official code"),
    "siren_fastai2": Scheme(HE, HE, HE, HE, 1, 30, "Siren-fastai2", hidden_omega_0=1.0, output=HE, output_bias=HE),
    "normal_matched": adapting(N6 / math.sqrt(3), N1 / math.sqrt(3), remark="1 in normal laws of equal deviation"),
    "weight_scaled": adapting(U(2.5 * 6**0.5, 0.5, 1), U(2.5, 1), output=U6, remark="siren, sine weights times 2.5"),
    # found by benchmarks/search.py: all phases, a small output, and first frequencies in all directions: up to 270 rad
    # per unit for 256 samples along an axis, the low ones more frequent; "ball" has up to 90, evenly in the disc
    "fast": adapting(U6, P(270, 0, 1, 1.5), U(PI, 0, 1), U(PI, 0, 1), output=U6 * 0.3, output_bias=ZERO,
                     for_signal=True, first_samples=256, remark="the library's default, searched for speed"),
    "ball": adapting(U6, B(90, 0, 1), U(PI, 0, 1), U(PI, 0, 1), output=U6 * 0.3, output_bias=ZERO, for_signal=True,
                     remark="the first version of fast"),
}
# fmt: on


def get_scheme(
    scheme: int | str | Scheme,  # a number (33 or "33"), a name ("siren") or a scheme, which is returned as it is
) -> Scheme:
    """Return the scheme of a number or name.

    Raises: ValueError for a number or name that is not in `SCHEMES`; TypeError for anything else.
    """
    if isinstance(scheme, Scheme):
        return scheme
    if isinstance(scheme, bool) or not isinstance(scheme, (Integral, str)):
        raise TypeError(f"`scheme` must be a number, a name or a Scheme, got {scheme!r}")
    key = int(scheme) if isinstance(scheme, Integral) or scheme.isdecimal() else scheme
    if key not in SCHEMES:
        names = [name for name in SCHEMES if isinstance(name, str)]
        close = difflib.get_close_matches(str(key).lower().replace("-", "_"), names)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(f"`scheme` must be a number from 1 to 38 or one of {names}, got {scheme!r}{hint}")
    return SCHEMES[key]


def describe_schemes() -> list[dict[str, object]]:
    """Return a row for each scheme, for `pandas.DataFrame(describe_schemes())`; "own" is the model's omega_0."""
    return [_describe(key, scheme) for key, scheme in SCHEMES.items()]


def _describe(key: int | str, scheme: Scheme) -> dict[str, object]:
    rules = ("first", "hidden", "first_bias", "hidden_bias", "output", "output_bias")
    omega_0 = float(scheme.omega_0) if scheme.omega_0 is not None else "own"
    return {
        "scheme": key,
        **{name: str(rule) if (rule := getattr(scheme, name)) is not None else "none" for name in rules},
        "gain": float(scheme.gain),
        "omega_0": omega_0,
        "hidden_omega_0": scheme.hidden_omega_0 if scheme.hidden_omega_0 is not None else omega_0,
        "remark": scheme.remark,
    }

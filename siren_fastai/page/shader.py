"""The fragment shader of a program: GLSL that computes the network at each pixel of the screen.

Weights are read from a texture, four outputs by four inputs at a time. The first layer's sums come with the view: the
page computes them at its centre in double precision, and the shader adds what the pixel's distance from it changes.
"""

from importlib.resources import files

from siren_fastai.page.program import Program
from siren_fastai.page.steps import glsl_call, glsl_functions

__all__ = ["fragment_shader", "quads"]


def fragment_shader(
    program: Program,
) -> str:
    """The GLSL of `program`, which depends on the kinds of its layers and on the widest one, not on the weights."""
    head, body = program.heads[0], program.bodies[0]
    widest = max(quads(program))
    names = {step[0] for layer in (head, *body) for step in layer.steps if step[0] not in ("radial", "encoding")}
    lines = [_first(head.steps, "a")]
    for i, layer in enumerate(body):
        lines.append(_layer(i, layer.steps, *("ab" if i % 2 == 0 else "ba")))
    result = "ab"[len(body) % 2]
    parts = {
        "functions": glsl_functions(names),
        "widest": str(widest),
        "depth": str(len(body) + 1),
        "layers": "".join(lines),
        "result": f"{result}[0]" + (".xxx" if program.channels == 1 else ".xyz"),
    }
    source = files("siren_fastai.page").joinpath("shader.glsl").read_text(encoding="utf-8")
    for name, text in parts.items():
        source = source.replace(f"@{name}@", text)
    return source


def quads(program: Program) -> list[int]:
    """How many groups of four units each layer has, at most: the first layer first."""
    chains = [program.bodies[min(i, len(program.bodies) - 1)] for i in range(len(program.heads))]
    widths = [max(len(head.bias) for head in program.heads)]
    widths += [max(len(chain[i].bias) for chain in chains) for i in range(len(chains[0]))]
    return [-(-width // 4) for width in widths]


def _first(steps: tuple, target: str) -> str:
    """The first layer: `unit` has the texel of each unit, as `siren_fastai.page.packing` describes it."""
    if steps and steps[0][0] == "radial":
        value, steps = "radial(t0, t1, t2, t3, away)", steps[1:]
    elif steps and steps[0][0] == "encoding":
        value, steps = "encoding(t0, t1, t2, t3, away)", steps[1:]
    else:
        value = "sums(t0, t1, t2, t3, away)"
        if steps and steps[0][0] == "sine":  # its omega_0 is in the sums
            steps = (("sine", 1.0), *steps[1:])
    return f"""
  for (int j = 0; j < quads[0]; ++j) {{
    int at = 4 * (kind * quads[0] + j);
    vec4 t0 = unit(at), t1 = unit(at + 1), t2 = unit(at + 2), t3 = unit(at + 3);
    {target}[j] = {_applied(steps, value)};
  }}"""


def _layer(index: int, steps: tuple, source: str, target: str) -> str:
    return f"""
  for (int j = 0; j < quads[{index + 1}]; ++j) {{
    vec4 z = weight(at++);
    for (int i = 0; i < quads[{index}]; ++i) {{
      z += mat4(weight(at), weight(at + 1), weight(at + 2), weight(at + 3)) * {source}[i];
      at += 4;
    }}
    {target}[j] = {_applied(steps, "z")};
  }}"""


def _applied(steps: tuple, value: str) -> str:
    for step in steps:
        value = glsl_call(step, value)
    return value

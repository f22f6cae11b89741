"""Tiles that show one thing, on a transparent square or on a ground: creatures, people, items, icons, trees, rocks.

Painters as in `tile_textures`.
"""

import numpy as np

from siren_fastai.datasets.draws import Draws
from siren_fastai.datasets.pixel_art import Pen, hsv, noise, outline, ramp, shaded, shifted

__all__ = ["OBJECTS", "framed"]


def _material(style: Draws, n: int) -> list[tuple[int, int, int]]:
    """`n` shades of any colour, dark to light."""
    saturation, light = style.between(40, 230), style.between(180, 255)
    return ramp(style.below(1536), saturation, style.between(40, 90), light, n, style.between(-120, 120))


def framed(canvas: np.ndarray, palette: list, dark: tuple[int, int, int]) -> tuple[np.ndarray, list]:
    """The drawing with a line around it in the colour `dark`, where there is room."""
    line = outline(canvas > 0)
    return np.where(line, len(palette) + 1, canvas), [*palette, dark]


def _ink(style: Draws) -> tuple[int, int, int]:
    """A colour for outlines."""
    return hsv(style.below(1536), 120, style.between(15, 60))


def creature(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """A random half mask, smoothed, mirrored and outlined, with eyes: beasts, ghosts, ships."""
    s, half, n = pen.size, pen.size // 2, style.between(3, 5)
    palette, ink = _material(style, n), _ink(style)
    x, y = np.arange(half)[None], np.arange(s)[:, None]
    fill = 20 + 75 * (x + 1) // half - abs(2 * y - s) * style.between(20, 60) // s
    mask = (draws.below(100, (s, half)) < fill) & (y > 0) & (y < s - 1) & (x > 0)
    if s > 8:
        around = sum(shifted(mask, i, j).astype(int) for i in (-1, 0, 1) for j in (-1, 0, 1))
        mask = (around >= 5) | ((around == 4) & mask)
        mask &= (y > 0) & (y < s - 1) & (x > 0)
    mask[s // 4 : s - s // 4, half - max(1, s // 8) :] = True
    grain = noise(draws, s, s // 2)[:, :half]
    mask, grain = (np.hstack([part, part[:, ::-1]]) for part in (mask, grain))
    canvas = np.where(mask, 1 + shaded(pen, mask, n, style.choice((0, 8)), grain), 0)
    eye, height = style.between(6, 14), style.between(20, 34)
    for side in (-1, 1):
        canvas[pen.disc(32 + side * eye, height, style.between(3, 5)) & mask] = n + 1
    return framed(canvas, [*palette, hsv(style.below(1536), style.between(0, 200), 255)], ink)


def slime(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """A round body with eyes and a mouth, squashed differently in each tile."""
    n = style.between(3, 5)
    palette, ink = _material(style, n), _ink(style)
    width, height = draws.between(20, 28), draws.between(16, 26)
    body = pen.ellipse(32, 58 - height, width, height) | pen.box(32 - width + 2, 50, 32 + width - 2, 58)
    canvas = np.where(body, 1 + shaded(pen, body, n, style.choice((0, 10))), 0)
    look, top = draws.between(-3, 3), 56 - height
    for side in (-1, 1):
        canvas[pen.ellipse(32 + side * 9 + look, top, 5, 7)] = n + 1
        canvas[pen.ellipse(32 + side * 9 + 2 * look, top + 2, 2, 3)] = 1
    canvas[pen.box(26 + look, top + 11, 38 + look, top + 14)] = 1
    return framed(canvas, [*palette, (250, 250, 245)], ink)


def person(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """A figure with hair, a face, clothes, arms and legs, seen from the front, a side or behind, walking."""
    skin = hsv(style.between(60, 110), style.between(70, 170), style.between(110, 250))
    hair, cloth, trousers = (hsv(style.below(1536), style.between(20, 220), style.between(50, 240)) for _ in "abc")
    light, ink = hsv(style.below(1536), style.between(0, 200), 245), _ink(style)
    canvas, stride, view = np.zeros((pen.size, pen.size), np.int64), draws.between(-4, 4), draws.below(3)
    wide, long_hair, hat = style.between(10, 15), style.between(14, 34), style.chance(35)
    for side in (-1, 1):
        canvas[pen.box(32 + side * 6 - 4, 44, 32 + side * 6 + 4, 60 - max(0, side * stride))] = 4
        canvas[pen.line(32 + side * wide, 32, 32 + side * (wide + 3), 44 + side * stride, 7)] = 3
        canvas[pen.disc(32 + side * (wide + 3), 45 + side * stride, 3)] = 1
    canvas[pen.polygon((32 - wide + 2, 28), (32 + wide - 2, 28), (32 + wide, 48), (32 - wide, 48))] = 3
    canvas[pen.box(31, 30, 34, 46) if style.chance(40) else pen.box(32 - wide, 42, 32 + wide, 45)] = 5
    canvas[pen.ellipse(32, 17, 14, 14)] = 2
    canvas[pen.box(18, 17, 46, long_hair)] = 2
    if view < 2:
        canvas[pen.ellipse(32 + 5 * view, 20, 11, 9) & (pen.v > 15)] = 1
        for side in (-1, 1):
            canvas[pen.box(32 + side * 6 - 2 + 5 * view, 18, 32 + side * 6 + 2 + 5 * view, 23)] = 6
    if hat:
        canvas[pen.box(14, 10, 50, 15) | pen.box(22, 2, 42, 12)] = 5
    return framed(canvas, [skin, hair, cloth, trousers, light], ink)


def tree(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """A broad tree, a conifer, a bush or a bare tree; the crown differs from tile to tile."""
    n, kind = style.between(3, 4), style.below(4)
    leaves = ramp(
        style.choice((0, 60, 200, 400, 450, 500, 560)), style.between(100, 210), 50, style.between(150, 230), n
    )
    wood, ink = ramp(style.between(50, 130), 130, 60, 130, 2), _ink(style)
    canvas = np.zeros((pen.size, pen.size), np.int64)
    if kind != 2:
        lean = draws.between(-4, 4)
        canvas[pen.line(32, 60, 32 + lean, 30, style.between(6, 12))] = n + 1
        canvas[pen.line(33, 60, 33 + lean, 34, 4)] = n + 2
    crown = np.zeros(canvas.shape, bool)
    if kind == 1:
        for layer in range(3):
            top, reach = 3 + 14 * layer, 10 + 5 * layer + draws.below(6)
            crown |= pen.polygon((32, top), (32 + reach, top + 22), (32 - reach, top + 22))
    elif kind == 3:
        for _ in range(7):
            x, y = draws.between(8, 56), draws.between(4, 30)
            canvas[pen.line(32, draws.between(30, 44), x, y, 4)] = n + 1
            crown |= pen.disc(x, y, style.choice((0, 3, 5)))
    else:
        middle, spread = (24, 14) if kind == 0 else (42, 12)
        for _ in range(7):
            crown |= pen.disc(32 + draws.between(-spread, spread), middle + draws.between(-8, 8), draws.between(9, 14))
    grain = noise(draws, pen.size, pen.size // 2)
    canvas = np.where(crown, 1 + shaded(pen, crown, n, style.choice((0, 8, 16)), grain), canvas)
    if style.chance(30):
        for _ in range(6):
            canvas[pen.disc(draws.between(16, 48), draws.between(12, 50), 3) & crown] = n + 3
    return framed(canvas, [*leaves, *wood, hsv(style.below(1536), 200, 250)], ink)


def rock(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """Rocks and crystals: convex facets, lit from the upper left."""
    n, sharp = style.between(3, 5), style.chance(40)
    saturation = style.between(100, 200) if sharp else style.between(5, 60)
    palette = ramp(style.below(1536), saturation, style.between(30, 70), style.between(170, 250), n)
    canvas, ink = np.zeros((pen.size, pen.size), np.int64), _ink(style)
    for _ in range(style.between(1, 4)):
        x, w, h = draws.between(18, 46), draws.between(7, 11) if sharp else draws.between(12, 18), draws.between(18, 44)
        h, foot = (h, draws.between(50, 60)) if sharp else (min(h, 30), draws.between(46, 60))
        tip = foot - h
        body = pen.polygon((x, tip), (x + w, tip + h // 3), (x + w - 2, foot), (x - w + 2, foot), (x - w, tip + h // 3))
        body = body if sharp else body | pen.ellipse(x, foot - h // 2, w, h // 2)
        facet = n - 1 - ((pen.u - x + w) * (n - 1) // (2 * w + 1)) if sharp else shaded(pen, body, n, 8)
        facet = facet + (noise(draws, pen.size, pen.size // 2) > 200)
        canvas = np.where(outline(body), 1, np.where(body, 1 + np.clip(facet, 0, n - 1), canvas))
    return framed(canvas, palette, ink)


def icon(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """A rune or a letter of an unknown script, mirrored or not, bare or on a button."""
    canvas, n = np.zeros((pen.size, pen.size), np.int64), 3
    palette, light = _material(style, n), hsv(style.below(1536), style.between(0, 160), style.between(200, 255))
    if style.chance(60):
        canvas[:] = 2
        canvas[pen.box(0, 0, 64, 4) | pen.box(0, 0, 4, 64)] = 3
        canvas[pen.box(4, 60, 64, 64) | pen.box(60, 4, 64, 64)] = 1
    width, mirror, step = style.between(4, 9), style.chance(50), style.choice((12, 16))
    rune = np.zeros(canvas.shape, bool)
    x, y = draws.below(3), draws.below(3)
    for _ in range(draws.between(5, 9)):
        to = draws.between(max(0, x - 1), min(2, x + 1)), draws.between(max(0, y - 1), min(2, y + 1))
        rune |= pen.line(
            32 + (x - 1) * step, 32 + (y - 1) * step, 32 + (to[0] - 1) * step, 32 + (to[1] - 1) * step, width
        )
        x, y = to
    rune = rune | rune[:, ::-1] if mirror else rune
    canvas[shifted(rune, 1, 1)] = 1
    canvas[rune] = 4
    return canvas, [*palette, light]


OBJECTS = {painter.__name__: painter for painter in (creature, slime, person, tree, rock, icon)}

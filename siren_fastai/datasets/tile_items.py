"""Tiles of things to find and to open: potions, gems, swords, shields, keys, chests, doors. Painters as the others."""

import numpy as np

from siren_fastai.datasets.draws import Draws
from siren_fastai.datasets.pixel_art import Pen, hsv, outline, ramp, shaded

__all__ = ["ITEMS"]


def _body(pen: Pen, canvas: np.ndarray, mask: np.ndarray, first: int, n: int, dither: int = 0) -> None:
    """Draw a round body in the `n` shades from position `first` on."""
    canvas[mask] = first + shaded(pen, mask, n, dither)[mask]


def _potion(style, draws, pen, canvas):
    r = style.between(13, 18)
    _body(pen, canvas, pen.box(27, 10, 37, 30) | pen.disc(32, 40, r), 5, 3)
    _body(pen, canvas, pen.disc(32, 40, r - 4) & (pen.v > draws.between(28, 44)), 1, 4)
    canvas[pen.box(26, 6, 38, 11)] = 2
    canvas[pen.disc(26, 34, 3)] = 7


def _gem(style, draws, pen, canvas):
    w, top, crown = style.between(14, 22), style.between(10, 16), style.between(8, 14)
    cut = pen.polygon((32 - w + 6, top), (32 + w - 6, top), (32 + w, top + crown), (32, 58), (32 - w, top + crown))
    canvas[cut] = 3
    canvas[cut & (pen.u > 32 + w // 3)] = 2
    canvas[cut & (pen.v < top + crown)] = 4
    canvas[cut & (pen.u < 32 - w // 3) & (pen.v >= top + crown)] = 4
    canvas[pen.disc(draws.between(24, 34), top + 5, 3)] = 7


def _sword(style, draws, pen, canvas):
    width, guard = style.between(6, 12), style.between(6, 12)
    canvas[pen.line(20, 44, 54, 10, width)] = 6
    canvas[pen.line(20, 44, 54, 10, 2)] = 7
    canvas[pen.line(22 - guard, 42 - guard, 22 + guard, 42 + guard, 6)] = 3
    canvas[pen.line(9, 55, 18, 46, 7)] = 1
    canvas[pen.disc(9, 55, style.between(3, 6))] = 4


def _axe(style, draws, pen, canvas):
    canvas[pen.line(14, 58, 44, 10, 6)] = 2
    head = pen.disc(44, 20, style.between(14, 18)) & (pen.u + pen.v > 56) & (pen.u - pen.v > style.between(-6, 18))
    _body(pen, canvas, head, 5, 3)


def _shield(style, draws, pen, canvas):
    w = style.between(18, 24)
    plate = pen.box(32 - w, 8, 32 + w, 32) | pen.ellipse(32, 32, w, 28) & (pen.v >= 32)
    _body(pen, canvas, plate, 5, 3)
    inner = pen.box(36 - w, 12, 28 + w, 32) | pen.ellipse(32, 32, w - 4, 24) & (pen.v >= 32)
    _body(pen, canvas, inner, 1, 4)
    sign = (pen.box(28, 12, 36, 54) | pen.box(36 - w, 26, 28 + w, 33), pen.disc(32, 30, 8), pen.u < 32)
    canvas[inner & style.choice(sign)] = 7


def _key(style, draws, pen, canvas):
    canvas[pen.disc(20, 20, 13)] = 3
    canvas[pen.disc(20, 20, style.between(4, 8))] = 0
    canvas[pen.line(29, 29, 54, 54, 7)] = 3
    for at in (44, 52):
        canvas[pen.line(at, at, at + style.between(5, 9), at - 8, 5)] = 2
    canvas[pen.line(28, 26, 50, 48, 2)] = 4


def _heart(style, draws, pen, canvas):
    r = style.between(11, 14)
    lobes = pen.disc(32 - r + 2, 24, r) | pen.disc(30 + r, 24, r)
    _body(pen, canvas, lobes | pen.polygon((32 - 2 * r + 3, 28), (29 + 2 * r, 28), (32, 58)), 1, 4, draws.below(9))
    canvas[pen.disc(24, 20, 3)] = 7


def _mushroom(style, draws, pen, canvas):
    _body(pen, canvas, pen.box(25, 32, 39, 56) | pen.ellipse(32, 56, 9, 4), 5, 3)
    cap = pen.ellipse(32, 32, style.between(18, 26), style.between(16, 24)) & (pen.v < 36)
    _body(pen, canvas, cap, 1, 4)
    for _ in range(5):
        canvas[pen.disc(draws.between(14, 50), draws.between(12, 32), 4) & cap] = 7


def _fruit(style, draws, pen, canvas):
    r, pair = style.between(12, 20), style.chance(40)
    for x in (20, 44) if pair else (32,):
        _body(pen, canvas, pen.ellipse(x, 40, r if not pair else 12, style.between(12, 19)), 1, 4, style.below(9))
    canvas[pen.line(32, 24, 34 + draws.below(6), 10, 4)] = 5
    canvas[pen.ellipse(42, 14, 8, 4)] = 6


def _scroll(style, draws, pen, canvas):
    left, right = style.between(8, 16), style.between(48, 56)
    canvas[pen.box(left + 3, 12, right - 3, 52)] = 7
    for y in range(20, 46, style.choice((5, 6, 8))):
        canvas[pen.box(left + 8, y, draws.between(left + 14, right - 8), y + 2)] = 1
    _body(pen, canvas, pen.box(left, 8, right, 16) | pen.box(left, 48, right, 56), 1, 4)


def _coin(style, draws, pen, canvas):
    w = draws.choice((6, 12, 18, 22))  # it turns
    _body(pen, canvas, pen.ellipse(32, 32, w, 22), 1, 4)
    canvas[outline(pen.ellipse(32, 32, max(3, w - 6), 15))] = 2
    canvas[pen.box(32 - w // 4, 24, 32 + w // 4, 41)] = style.choice((1, 4, 7))


def _bomb(style, draws, pen, canvas):
    _body(pen, canvas, pen.disc(30, 38, style.between(15, 20)), 1, 4)
    canvas[pen.line(42, 24, 50, 14, 4)] = 6
    canvas[pen.disc(50 + draws.between(-2, 2), 12, draws.between(3, 7))] = 7


def _chest(style, draws, pen, canvas):
    lid = draws.choice((24, 24, 12))  # the last is open
    _body(pen, canvas, pen.box(8, 30, 56, 56), 1, 4)
    _body(pen, canvas, pen.box(8, lid - 8, 56, lid + 4) | pen.ellipse(32, lid - 2, 24, 8), 1, 4)
    canvas[pen.box(8, lid + 4, 56, 30)] = 1 if lid < 24 else 5
    for x in style.choice(((8, 50), (14, 44), (29,))):
        canvas[pen.box(x, 28, x + 6, 56) | pen.box(x, lid - 8, x + 6, lid + 4)] = 6
    canvas[pen.box(28, 28, 36, 38)] = 7


def _door(style, draws, pen, canvas):
    arch = style.chance(60)
    shape = pen.box(12, 24, 52, 64) | pen.ellipse(32, 24, 20, 18) if arch else pen.box(10, 6, 54, 64)
    canvas[:] = 5
    canvas[outline(shape)] = 6
    canvas[shape] = 3
    canvas[shape & (pen.u % style.choice((8, 10, 16)) < 3)] = 2
    canvas[shape & (pen.v % style.choice((20, 28)) < 4)] = 6
    canvas[shape & (pen.u > 64 - draws.choice((0, 0, 0, 44)))] = 1  # ajar
    canvas[pen.disc(46, 40, 3)] = 7


def _window(style, draws, pen, canvas):
    canvas[:] = 5
    pane = pen.box(12, 10, 52, 52) if style.chance(50) else pen.disc(32, 32, 22)
    canvas[pane] = 3
    canvas[pane & ((pen.u + pen.v + draws.below(40)) % 40 < 8)] = 4
    canvas[outline(pane) | pane & (pen.box(30, 0, 34, 64) | pen.box(0, 30, 64, 34))] = 6


def _stairs(style, draws, pen, canvas):
    step = style.choice((8, 16))
    height = draws.choice((pen.v, 64 - pen.v, pen.u, 64 - pen.u))
    canvas[:] = 1 + height // step * 3 // (64 // step)
    canvas[height % step < 3] = style.choice((5, 7))


def _fence(style, draws, pen, canvas):
    canvas[pen.box(0, 24, 64, 30) | pen.box(0, 42, 64, 48)] = 2
    gap = style.choice((16, 21, 32))
    for x in range(gap // 2 + draws.below(3) - 1, 64, gap):
        _body(pen, canvas, pen.box(x - 4, 14, x + 4, 60) | pen.disc(x, 14, 4), 1, 4)


def _barrel(style, draws, pen, canvas):
    _body(pen, canvas, pen.ellipse(32, 34, 22, 34) & (pen.v > 10) & (pen.v < 60), 1, 4)
    canvas[(canvas > 0) & (pen.u % 10 < 2)] = 1
    for y in (18, 46):
        canvas[(canvas > 0) & (pen.v >= y) & (pen.v < y + 4 + style.below(3))] = 6
    canvas[pen.disc(32, draws.between(30, 38), 3)] = 5


KINDS = (_potion, _gem, _sword, _axe, _shield, _key, _heart, _mushroom, _fruit)
KINDS += (_scroll, _coin, _bomb, _chest, _door, _window, _stairs, _fence, _barrel)


def item(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """One of eighteen things, in four shades of its own and three of another material, outlined."""
    kind = style.choice(KINDS)
    dye = draws if style.chance(80) else style  # in most instances, each tile has a colour of its own
    own = ramp(dye.below(1536), dye.between(60, 230), dye.between(50, 100), dye.between(190, 255), 4)
    other = ramp(style.below(1536), style.between(10, 130), style.between(80, 130), style.between(210, 255), 3)
    canvas = np.zeros((pen.size, pen.size), np.int64)
    kind(style, draws, pen, canvas)
    line = outline(canvas > 0)
    return np.where(line, 8, canvas), [*own, *other, hsv(style.below(1536), 120, style.between(15, 60))]


ITEMS = {"item": item}

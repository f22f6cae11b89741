"""Tiles that fill their square: ground, shores, bricks, stones, planks, roofs, carpets, water.

A painter gets the draws that all tiles of its instance share, those of this tile, and a pen, and returns the drawing
and its palette without the black at position 0.
"""

import numpy as np

from siren_fastai.datasets.draws import Draws
from siren_fastai.datasets.pixel_art import BAYER, UNITS, Pen, hsv, noise, outline, quantize, ramp

__all__ = ["TEXTURES", "ground"]

# (lowest hue, highest hue, saturation, darkest, lightest): grass, dirt, sand, stone, snow, swamp, dungeon, lava, cave
SOILS = (
    (380, 560, 170, 70, 190),
    (60, 130, 140, 60, 160),
    (150, 220, 110, 140, 235),
    (0, 1535, 25, 70, 180),
    (850, 980, 40, 170, 250),
    (430, 700, 100, 40, 110),
    (1000, 1300, 70, 45, 125),
    (0, 60, 230, 90, 240),
    (80, 160, 70, 40, 110),
)


def _soil(style: Draws, n: int, contrast: int) -> list[tuple[int, int, int]]:
    """`n` shades of a random soil; `contrast`, in percent, narrows them around their middle."""
    low, high, saturation, dark, light = style.choice(SOILS)
    middle, reach = (dark + light) // 2 + style.between(-15, 5), (light - dark) * contrast // 200
    return ramp(style.between(low, high), saturation, max(0, middle - reach), min(255, middle + reach), n)


def ground(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """Grass, dirt, sand, stone, snow and their like: dithered noise with tufts, pebbles, flowers or cracks."""
    s, n = pen.size, style.between(2, 4)
    palette = _soil(style, n, style.between(30, 80))
    coarse, dither, what, count = style.choice((2, 4)), style.below(17), style.below(5), style.between(2, 7)
    levels = (2 * noise(draws, s, coarse) + noise(draws, s, s // 2)) // 3
    canvas = 1 + quantize(np.clip((levels - 128) * 3 // 2 + 128, 0, 255), n, dither)
    for _ in range(count if what else 0):
        x, y = draws.between(6, UNITS - 8), draws.between(6, UNITS - 8)
        if what == 1:  # a tuft
            canvas[pen.line(x, y, x - 3, y - 6, 2) | pen.line(x, y, x + 3, y - 6, 2)] = n
        elif what == 2:  # a pebble
            canvas[pen.ellipse(x, y + 2, 4, 3)] = 1
            canvas[pen.ellipse(x, y, 4, 3)] = n
        elif what == 3:  # a crack
            canvas[pen.line(x, y, x + draws.between(-9, 9), y + draws.between(-9, 9), 2)] = 1
        else:  # a flower
            canvas[pen.disc(x, y, 3)] = n + 1
            canvas[pen.disc(x, y, 1)] = n
    return canvas, palette + ([hsv(style.below(1536), 150, 250)] if what == 4 else [])


def shore(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """Two grounds with a rough border between them, at a side, at a corner, around a path or an island."""
    s = pen.size
    below, lower = ground(style, draws, pen)
    above, upper = ground(style, draws, pen)
    lower, upper = lower[:3], upper[:3]
    below, above = np.minimum(below, len(lower)), np.minimum(above, len(upper))
    distance = draws.choice(
        (
            pen.v - 32,
            pen.u - 32,
            32 - pen.v,
            32 - pen.u,
            np.maximum(pen.u, pen.v) - 36,
            28 - np.minimum(pen.u, pen.v),
            np.maximum(pen.u, 64 - pen.v) - 36,
            28 - np.minimum(pen.u, 64 - pen.v),
            abs(pen.u - 32) - 16,
            abs(pen.v - 32) - 16,
            (abs(pen.u - 32) + abs(pen.v - 32)) * 3 // 4 - 20,
        )
    )
    inside = distance * 8 + (noise(draws, s, 8 if s > 8 else 4) - 128) * style.between(1, 4) // 4 > 0
    canvas = np.where(inside, above + len(lower), below)
    if style.chance(70):
        canvas[outline(inside)] = 1
    return canvas, lower + upper


def bricks(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """Courses of bricks or blocks with mortar, lit edges, a few darker ones, and cracks."""
    n = style.between(3, 5)
    hue, saturation = (style.between(0, 120), style.between(80, 170)) if style.chance(50) else (style.below(1536), 30)
    palette = ramp(hue, saturation, style.between(25, 60), style.between(150, 230), n + 1)
    height = style.choice((8, 16, 16, 32)) if pen.size > 8 else 16
    width = height * style.choice((1, 2, 2))
    course = pen.v // height
    along = (pen.u + (course % 2) * (width // 2 if style.chance(85) else 0)) % UNITS
    shades = draws.between(2, n, (UNITS // height, UNITS // width))
    canvas = np.where(draws.below(100, shades.shape) < 60, (n + 2) // 2, shades)[course, along // width]
    pixel = UNITS // pen.size
    x, y = along % width, pen.v % height
    if style.chance(75):
        canvas = np.where((y < 2 * pixel) | (x < 2 * pixel), np.minimum(canvas + 1, n + 1), canvas)
    if height > 4 * pixel and style.chance(50):
        canvas = np.where((y >= height - pixel) | (x >= width - pixel), canvas - 1, canvas)
    canvas = np.where((y < pixel) | (x < pixel), 1, canvas)
    for _ in range(draws.below(3)):
        x, y = draws.below(UNITS), draws.below(UNITS)
        canvas[pen.line(x, y, x + draws.between(-8, 8), y + 10, 2)] = 1
    return canvas, palette


def stones(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """Irregular stones: the cells nearest to random points, with dark joints and lit upper edges."""
    s, n = pen.size, style.between(3, 5)
    palette = ramp(style.below(1536), style.between(10, 90), style.between(20, 60), style.between(140, 220), n + 1)
    count = style.between(5, 14) if s > 8 else 5
    px, py = (draws.below(UNITS, (count, 1, 1)) for _ in "xy")
    far = [np.minimum(abs(a - p), UNITS - abs(a - p)) for a, p in ((pen.u, px), (pen.v, py))]
    cell = (far[0] ** 2 + far[1] ** 2).argmin(0)
    canvas = draws.between(2, n, (count,))[cell]
    lit = (cell != np.roll(cell, 2, 0)) | (cell != np.roll(cell, 2, 1))
    canvas = np.where(lit, np.minimum(canvas + 1, n + 1), canvas)
    canvas = np.clip(canvas + (noise(draws, s, s // 2) > 200) * 1, 1, n + 1)
    return np.where((cell != np.roll(cell, 1, 0)) | (cell != np.roll(cell, 1, 1)), 1, canvas), palette


def planks(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """Boards with grain, joints and nails, along either axis."""
    s, n, pixel = pen.size, 4, UNITS // pen.size
    palette = ramp(style.between(40, 160), style.between(90, 170), style.between(35, 60), style.between(140, 220), n)
    width = style.choice((8, 16, 16, 32)) if s > 8 else 16
    board = pen.v // width
    grain = noise(draws, s, s // 2)[:, np.arange(s) // 4 if s > 8 else np.arange(s)]
    canvas = 2 + (grain > style.between(120, 190)) + draws.below(2, (UNITS // width,))[board]
    canvas = np.where(pen.v % width < pixel, 1, canvas)
    joint = draws.below(UNITS // 4, (UNITS // width,))[board] * 4
    canvas = np.where((pen.u >= joint) & (pen.u < joint + pixel), 1, canvas)
    if style.chance(50):
        nail = ((pen.u - joint) % UNITS == (3 * pixel) // 2 * 2) & (pen.v % width // pixel == width // pixel // 2)
        canvas = np.where(nail, 1, canvas)
    canvas = np.minimum(canvas, n)
    return (canvas.T if style.chance(50) else canvas), palette


def roof(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """Rows of round or square shingles, also good for scales and cobbles."""
    n, pixel = 4, UNITS // pen.size
    palette = ramp(style.below(1536), style.between(60, 200), style.between(30, 70), style.between(160, 245), n)
    height = style.choice((8, 16)) if pen.size > 8 else 16
    width = 16 if height == 8 or style.chance(60) else 32
    row, y = pen.v // height, pen.v % height
    along = (pen.u + row % 2 * (width // 2)) % UNITS
    x = along % width - width // 2
    canvas = 2 + draws.below(2, (UNITS // height, UNITS // width))[row, along // width]
    canvas = np.where(y < height // 2, canvas, canvas - 1 + (style.below(2)))
    edge = x**2 * 4 * height**2 + y**2 * width**2 > height**2 * width**2 if style.chance(60) else abs(x) >= width // 2
    canvas = np.where(edge | (y >= height - pixel), 1, canvas)
    return np.where((y < pixel) & ~edge, n, canvas), palette


def carpet(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """A symmetrical pattern: floor tiles, carpets, ornaments."""
    s, n, half = pen.size, style.between(3, 6), pen.size // 2
    turn = style.choice((0, 60, 300, 768))
    palette = ramp(style.below(1536), style.between(40, 220), style.between(20, 90), style.between(150, 250), n, turn)
    quarter = 1 + quantize((noise(draws, half, 4) + noise(draws, half, half // 2)) // 2, n, style.choice((0, 0, 12)))
    if style.chance(60):
        i = np.arange(half)
        quarter = np.where(i[:, None] > i, quarter, quarter.T)
    u = np.arange(s)
    fold = np.minimum(u, s - 1 - u)
    canvas = quarter[fold][:, fold]
    if style.chance(50):
        canvas = np.where(np.minimum(fold[:, None], fold) < s // 16 + 1, style.between(1, n), canvas)
    return canvas, palette


def water(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """Water and other liquids: waves of one period, moved on from tile to tile, and glints."""
    s, n = pen.size, style.between(3, 5)
    hue = style.choice((880, 920, 960, 1000, 1040, 1040, 450, 30))
    palette = ramp(hue, style.between(120, 220), style.between(60, 120), style.between(180, 255), n, -60)
    period, depth, step = style.choice((16, 32, 64)), style.between(2, 8), style.choice((8, 16, 16))
    phase = draws.below(UNITS)
    wave = abs((pen.u + phase) % period - period // 2) * 2 * depth // period
    crest = (pen.v + wave + pen.u // 16 * style.choice((0, 0, 4))) % step
    levels = noise(draws, s, 4) // 2 + 40 + (crest * 60) // step
    canvas = 1 + quantize(np.clip(levels, 0, 255), n - 1, style.below(17))
    glint = (crest < max(2, UNITS // s)) & (noise(draws, s, 8 if s > 8 else 4) > style.between(110, 170))
    return np.where(glint, n, canvas), palette


def gradient(style: Draws, draws: Draws, pen: Pen) -> tuple[np.ndarray, list]:
    """Skies, walls of caves and metal: a gradient in a direction, in shades that mix in a pattern."""
    n = style.between(3, 8)
    palette = ramp(
        style.below(1536), style.between(40, 200), style.between(10, 90), style.between(140, 255), n, style.below(500)
    )
    dx, dy, bands = style.between(-4, 4), style.between(1, 4), style.choice((1, 1, 2))
    t = ((pen.u * dx + pen.v * dy) * 4 * bands // (abs(dx) + dy) + draws.below(256)) % 512
    levels = np.where(t < 256, t, 511 - t)
    canvas = quantize(np.clip(levels + (noise(draws, pen.size, 4) - 128) // 4, 0, 255), n, style.choice((8, 16)))
    stars = (BAYER[draws.below(4)][draws.below(4, canvas.shape)] == 0) & (draws.below(12, canvas.shape) == 0)
    return 1 + np.where(stars & style.chance(30), n - 1, canvas), palette


TEXTURES = {
    painter.__name__: painter for painter in (ground, shore, bricks, stones, planks, roof, carpet, water, gradient)
}

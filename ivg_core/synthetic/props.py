"""Counter tops and the things that lie on them, drawn with a little light and shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

COLOURS = {
    "red": (200, 58, 48),
    "blue": (58, 112, 176),
    "white": (236, 234, 228),
    "yellow": (226, 190, 66),
    "green": (104, 150, 70),
    "grey": (150, 154, 160),
    "black": (54, 54, 60),
    "pink": (216, 130, 150),
    "orange": (228, 122, 36),
    "brown": (176, 128, 80),
}


@dataclass(frozen=True)
class Kind:
    """A kind of prop: its noun, its size as a share of the frame's short side, and the colours it comes in."""

    size: float
    colours: tuple[str, ...]


KINDS = {
    "tomato": Kind(0.16, ("red",)),
    "carrot": Kind(0.34, ("orange",)),
    "cucumber": Kind(0.32, ("green",)),
    "bowl": Kind(0.30, ("white", "blue", "red")),
    "cup": Kind(0.20, ("red", "blue", "white", "yellow")),
    "plate": Kind(0.34, ("white", "grey")),
    "lid": Kind(0.26, ("grey", "black")),
    "cloth": Kind(0.28, ("blue", "yellow", "pink")),
    "box": Kind(0.26, ("brown", "green", "pink")),
}


@dataclass(frozen=True)
class Prop:
    """One thing on the counter: kind, colour name, centre (x, y) in pixels, diameter in pixels, angle in radians.

    ``lift`` is pixels above the counter; it enlarges the shadow.
    """

    kind: str
    colour: str
    centre: tuple[float, float]
    size: float
    angle: float
    seed: int
    lift: float = 0.0

    def moved(self, dx: float, dy: float, turn: float = 0.0, lift: float = 0.0) -> Prop:
        """The same thing elsewhere."""
        centre = (self.centre[0] + dx, self.centre[1] + dy)
        return replace(self, centre=centre, angle=self.angle + turn, lift=self.lift + lift)


def clouds(shape: tuple[int, int], rng: np.random.Generator, base: int = 4, octaves: int = 4) -> np.ndarray:
    """Fractal noise (H, W), about -1..1, with ``base`` features across the longer side in the coarsest octave."""
    h, w = shape
    out = np.zeros(shape, np.float32)
    for octave in range(octaves):
        n = base * 2**octave
        grid = (max(2, n * h // max(h, w) + 2), max(2, n * w // max(h, w) + 2))
        coarse = rng.standard_normal(grid).astype(np.float32)
        out += cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return out


def _wood(shape, rng, rgb) -> np.ndarray:
    h, w = shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / max(h, w)
    tilt = rng.uniform(-0.3, 0.3)
    rings = (y * math.cos(tilt) + x * math.sin(tilt)) * rng.uniform(9, 16) + 0.35 * clouds(shape, rng, 3)
    grain = 0.86 + 0.10 * (0.5 + 0.5 * np.sin(2 * math.pi * rings))
    return np.asarray(rgb, np.float32) / 255 * grain[..., None]


def counter(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """An empty counter top (H, W, 3) float 0..1: wood, stone or plain, sometimes with a cutting board."""
    shape = (height, width)
    kind = rng.integers(4)
    if kind < 2:
        base = ((168, 122, 82), (198, 170, 134))[kind]
        picture = _wood(shape, rng, rng.uniform(0.8, 1.1) * np.array(base))
    elif kind == 2:
        tones = np.array([[78, 80, 84], [120, 118, 116], [164, 160, 154]], np.float32)
        speckle = 1 + 0.10 * cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), 0.8)
        picture = tones[rng.integers(3)] / 255 * speckle[..., None]
    else:
        tones = np.array([[200, 200, 197], [214, 208, 198], [148, 154, 160], [170, 184, 176]], np.float32)
        picture = tones[rng.integers(4)] / 255 * (1 + 0.02 * clouds(shape, rng, 6))[..., None]
    picture = np.clip(picture, 0, 1).astype(np.float32)
    if rng.random() < 0.4:
        centre = (rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.6) * height)
        size = (rng.uniform(0.6, 0.9) * height, rng.uniform(0.4, 0.6) * height)
        board = np.zeros(shape, np.float32)
        cv2.fillPoly(board, [cv2.boxPoints((centre, size, rng.uniform(-20, 20))).astype(np.int32)], 1.0)
        _shadow(picture, board, 0.02 * height)
        plank = _wood(shape, rng, (214, 182, 134))
        picture = picture * (1 - board[..., None]) + plank * board[..., None]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return picture * (1 - 0.12 * (0.6 * x + 0.8 * y))[..., None]


def _shadow(picture: np.ndarray, mask: np.ndarray, size: float, strength: float = 0.45) -> None:
    """Darken ``picture`` below and to the right of a mask, in place."""
    offset = np.array([[1, 0, 0.6 * size], [0, 1, 0.9 * size]], np.float32)
    moved = cv2.warpAffine(mask, offset, mask.shape[::-1])
    soft = cv2.GaussianBlur(moved, (0, 0), max(0.7 * size, 0.5))
    picture *= (1 - strength * soft * (1 - mask))[..., None]


def _paint(picture, mask, rgb, seed: int, bulge: float, gloss: float, shadow: float, texture: float) -> None:
    """Paint a shape as a rounded solid, in place.

    Args:
        picture: (H, W, 3) float.
        mask: (H, W) the shape, 0..1.
        rgb: 0..255.
        seed: of the texture.
        bulge: height of the middle against the half width; negative for a hollow.
        gloss: strength of the highlight.
        shadow: size of the cast shadow in pixels; 0 for none.
        texture: contrast of the surface noise.
    """
    solid = mask > 0.5
    if not solid.any():
        return
    distance = cv2.distanceTransform(solid.astype(np.uint8), cv2.DIST_L2, 5)
    top = float(distance.max())
    relief = cv2.GaussianBlur(np.sqrt(distance / top) * top * bulge, (0, 0), 1 + 0.06 * top)
    gx, gy = cv2.Sobel(relief, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(relief, cv2.CV_32F, 0, 1) / 8
    normal = np.dstack([-gx, -gy, np.ones_like(gx)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    light = np.array([-0.38, -0.54, 0.75], np.float32)
    facing = np.clip(normal @ light, 0, 1)
    halfway = light + np.array([0, 0, 1], np.float32)
    shine = gloss * np.clip(normal @ (halfway / np.linalg.norm(halfway)), 0, 1) ** 40
    if shadow:
        _shadow(picture, mask, shadow)
    noise = 1 + texture * clouds(mask.shape, np.random.default_rng(seed), 10, 3)
    colour = np.asarray(rgb, np.float32) / 255 * (0.38 + 0.74 * facing)[..., None] * noise[..., None] + shine[..., None]
    alpha = mask[..., None]
    picture[:] = picture * (1 - alpha) + np.clip(colour, 0, 1) * alpha


def _polygon(shape: tuple[int, int], points) -> np.ndarray:
    """An antialiased filled polygon (H, W) 0..1."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(np.asarray(points) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255


def _disc(shape: tuple[int, int], centre, radius: float) -> np.ndarray:
    """An antialiased disc (H, W) 0..1."""
    mask = np.zeros(shape, np.uint8)
    point = (round(centre[0] * 16), round(centre[1] * 16))
    cv2.circle(mask, point, round(radius * 16), 255, -1, cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255


def outline(prop: Prop, shape: tuple[int, int]) -> np.ndarray:
    """The silhouette of a prop (H, W) 0..1."""
    centre, radius = np.array(prop.centre), prop.size / 2
    along = np.array([math.cos(prop.angle), math.sin(prop.angle)])
    across = np.array([-along[1], along[0]])
    if prop.kind in ("carrot", "cucumber"):
        taper = 0.25 if prop.kind == "carrot" else 0.8
        ends = [(-1.0, 0.35), (-0.9, 0.8), (0.0, 1.0), (0.9, 1.0), (1.0, 0.6)]
        widths = [w * (taper + (1 - taper) * (s + 1) / 2) * 0.24 * radius for s, w in ends]
        upper = [centre + along * s * radius + across * w for (s, _), w in zip(ends, widths, strict=True)]
        lower = [centre + along * s * radius - across * w for (s, _), w in zip(ends, widths, strict=True)]
        return _polygon(shape, upper + lower[::-1])
    if prop.kind in ("box", "cloth"):
        half = (0.62, 0.44) if prop.kind == "box" else (0.62, 0.52)
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        return _polygon(
            shape, [centre + along * a * half[0] * prop.size + across * b * half[1] * prop.size for a, b in corners]
        )
    return _disc(shape, prop.centre, radius)


def draw_prop(picture: np.ndarray, prop: Prop) -> np.ndarray:
    """Draw a prop in place.

    Args:
        picture: (H, W, 3) float 0..1, changed.
        prop: what to draw.

    Returns:
        Its silhouette (H, W) 0..1.
    """
    shape = picture.shape[:2]
    mask = outline(prop, shape)
    rgb = COLOURS[prop.colour]
    shadow = 0.03 * shape[0] + 0.3 * prop.lift
    radius = prop.size / 2
    if prop.kind in ("carrot", "cucumber", "tomato"):
        _paint(picture, mask, rgb, prop.seed, 0.8, 0.3, shadow, 0.06)
        if prop.kind == "tomato":
            _paint(picture, _disc(shape, prop.centre, radius * 0.25), (70, 120, 50), prop.seed, 0.5, 0, 0, 0)
    elif prop.kind == "cloth":
        _paint(picture, mask, rgb, prop.seed, 0.15, 0.0, 0.4 * shadow, 0.12)
    elif prop.kind == "box":
        _paint(picture, mask, rgb, prop.seed, 0.25, 0.05, 1.3 * shadow, 0.03)
    else:
        _paint(picture, mask, rgb, prop.seed, 0.35, 0.25, shadow, 0.02)
        if prop.kind == "lid":
            _paint(picture, _disc(shape, prop.centre, radius * 0.22), (38, 38, 42), prop.seed, 0.7, 0.3, 2, 0)
        else:
            inside = {"bowl": ((214, 170, 80), 0.78), "cup": ((84, 54, 34), 0.74), "plate": ((228, 228, 222), 0.66)}
            filling, share = inside[prop.kind]
            _paint(picture, _disc(shape, prop.centre, radius * share), filling, prop.seed, -0.15, 0.1, 0, 0.08)
    return mask


def draw_tool(picture: np.ndarray, kind: str, grip, tip) -> np.ndarray:
    """Draw a spoon or a knife from grip (x, y) to tip (x, y), in place; returns its silhouette (H, W) 0..1."""
    shape = picture.shape[:2]
    grip, tip = np.asarray(grip, float), np.asarray(tip, float)
    along = tip - grip
    across = np.array([-along[1], along[0]]) / np.linalg.norm(along)
    width = 0.022 * shape[0]
    if kind == "spoon":
        points = [grip + across * width, tip + across * width, tip - across * width, grip - across * width]
        mask = np.maximum(_polygon(shape, points), _disc(shape, tip, 1.9 * width))
        _paint(picture, mask, (170, 122, 74), 1, 0.6, 0.15, 4, 0.05)
        return mask
    blade = [grip, grip + across * 2.6 * width, tip - along * 0.12 + across * 2.2 * width, tip]
    mask = _polygon(shape, blade)
    _paint(picture, mask, (198, 202, 208), 1, 0.1, 0.4, 3, 0.01)
    return mask

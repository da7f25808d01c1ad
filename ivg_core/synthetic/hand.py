"""Draw a posed hand with its forearm: a height field of tapered capsules, shaded and with a cast shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .skeleton import FINGERS, KNUCKLES, THUMB_BASE, Pose, skeleton

SKIN_TONES = (
    np.array(
        [
            [222, 180, 158],
            [214, 168, 142],
            [202, 150, 122],
            [188, 136, 106],
            [164, 112, 84],
            [136, 92, 68],
            [104, 70, 52],
        ],
        np.float32,
    )
    / 255
)
_FAR = -1e6


@dataclass(frozen=True)
class HandView:
    """Where and how a hand appears in the picture.

    Attributes:
        pose: joint angles.
        wrist: (x, y) in pixels.
        palm: pixels from the wrist to the middle knuckle.
        angle: degrees; 0 = fingers up in the picture, positive = turned counter-clockwise.
        elbow: (x, y) in pixels where the forearm comes from, usually outside the frame.
        left: a left hand.
        skin: (3,) RGB 0..1.
        sleeve: (3,) RGB 0..1, or None for a bare arm.
        lift: height above the table in pixels (moves the shadow away).
    """

    pose: Pose
    wrist: tuple[float, float]
    palm: float
    angle: float
    elbow: tuple[float, float]
    left: bool
    skin: np.ndarray
    sleeve: np.ndarray | None
    lift: float = 12.0


@dataclass
class _Part:
    """What the shading has to know of one capsule: its axis in the picture and its material."""

    kind: str  # "skin", "palm", "bone", "tip" or "sleeve"
    start: np.ndarray
    along: np.ndarray
    length: float
    radius: float


class _HeightField:
    """Keeps, per pixel, the highest surface and the part it belongs to."""

    def __init__(self, height: int, width: int):
        self.z = np.full((height, width), _FAR, np.float32)
        self.part = np.full((height, width), -1, np.int16)

    def capsule(self, a: np.ndarray, b: np.ndarray, ra: float, rb: float, part: int) -> None:
        """Raise the surface by a capsule from a to b (x, y, z in pixels) with radii ra and rb."""
        height, width = self.z.shape
        r = max(ra, rb)
        x0, x1 = max(int(min(a[0], b[0]) - r), 0), min(int(max(a[0], b[0]) + r) + 2, width)
        y0, y1 = max(int(min(a[1], b[1]) - r), 0), min(int(max(a[1], b[1]) + r) + 2, height)
        if x0 >= x1 or y0 >= y1:
            return
        x = np.arange(x0, x1, dtype=np.float32)[None]
        y = np.arange(y0, y1, dtype=np.float32)[:, None]
        dx, dy = float(b[0] - a[0]), float(b[1] - a[1])
        along = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / max(dx * dx + dy * dy, 1e-6), 0, 1)
        radius = ra + (rb - ra) * along
        inside = radius**2 - (x - a[0] - along * dx) ** 2 - (y - a[1] - along * dy) ** 2
        z = np.where(inside > 0, a[2] + (b[2] - a[2]) * along + np.sqrt(np.maximum(inside, 0)), _FAR)
        patch, owner = self.z[y0:y1, x0:x1], self.part[y0:y1, x0:x1]
        higher = z > patch
        patch[higher] = z[higher]
        owner[higher] = part


def joint_pixels(view: HandView) -> np.ndarray:
    """The 21 joints in pixels: (21, 3) as x, y and height."""
    joints, _ = skeleton(view.pose, view.left)
    return _to_picture(view, joints)


def _to_picture(view: HandView, points: np.ndarray) -> np.ndarray:
    """Local points (..., 3) -> x, y in pixels (y down) and height."""
    angle = math.radians(view.angle)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    right, up = cos * x - sin * y, sin * x + cos * y
    return np.stack([view.wrist[0] + right * view.palm, view.wrist[1] - up * view.palm, z * view.palm], -1)


def _build(view: HandView, field: _HeightField, scale: int) -> list[_Part]:
    """Fill the height field at ``scale`` times the picture's size."""
    parts: list[_Part] = []
    size = view.palm * scale

    def put(kind: str, a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> None:
        pa, pb = _to_picture(view, np.asarray(a, float)) * scale, _to_picture(view, np.asarray(b, float)) * scale
        length = float(np.linalg.norm(pb - pa))
        parts.append(_Part(kind, pa, (pb - pa) / max(length, 1e-6), length, rb * size))
        field.capsule(pa, pb, ra * size, rb * size, len(parts) - 1)

    mirror = np.array([-1.0 if view.left else 1.0, 1.0, 1.0])
    _, bones = skeleton(view.pose, view.left)

    # Palm: metacarpals from the wrist to the knuckles, with skin stretched between them.
    tops = [np.array(KNUCKLES[f]) * mirror for f in FINGERS]
    bottoms = [np.array([x, 0.0, -0.02]) * mirror for x in (-0.17, -0.05, 0.07, 0.18)]
    for u in np.linspace(0, 3, 10):
        i = min(int(u), 2)
        w = u - i
        web = 0.06 * (1 - abs(2 * w - 1))
        top = tops[i] * (1 - w) + tops[i + 1] * w + np.array([0, web, -0.02])
        put("palm", bottoms[i] * (1 - w) + bottoms[i + 1] * w, top, 0.150, 0.118)
    thumb_base = np.array(THUMB_BASE) * mirror
    for w in (0.0, 0.4, 0.8):  # ball of the thumb
        end = bones[0].end * (1 - w) + np.array([-0.24, 0.72, -0.02]) * mirror * w
        put("palm", thumb_base * (1 - w) + np.array([-0.12, 0.15, -0.02]) * mirror * w, end, 0.15, 0.115)
    for bone in bones:
        last = bone.place == 2
        # The last joint lies near the end of the fingertip.
        end = bone.end - (bone.end - bone.start) * (0.3 if last else 0.0)
        put("tip" if last else "bone", bone.start, end, bone.start_radius, bone.end_radius)

    wrist = _to_picture(view, np.zeros(3))
    elbow = np.array([view.elbow[0], view.elbow[1], -0.5 * view.palm])
    arm = elbow - wrist
    reach = np.linalg.norm(arm) / view.palm
    side = np.array([-arm[1], arm[0], 0]) / np.linalg.norm(arm[:2])
    for kind, begin, widen in (("skin", 0.0, 1.0), ("sleeve", 0.9, 1.16)):
        if (kind == "sleeve" and view.sleeve is None) or begin >= reach:
            continue
        start = wrist + arm * (begin / reach)
        for offset in (-0.08, 0.0, 0.08):
            pa = (start + side * offset * view.palm * widen) * scale
            pb = (elbow + side * 1.7 * offset * view.palm) * scale
            ra, rb = (0.17 + 0.05 * begin) * widen * size, 0.27 * widen * size
            length = float(np.linalg.norm(pb - pa))
            parts.append(_Part(kind, pa, (pb - pa) / length, length, rb))
            field.capsule(pa, pb, ra, rb, len(parts) - 1)
    return parts


def _albedo(field: _HeightField, parts: list[_Part], view: HandView, size: float) -> np.ndarray:
    """Colour of the unlit surface (h, w, 3): skin with knuckles, creases and nails; the sleeve."""
    h, w = field.z.shape
    skin = view.skin.astype(np.float32)
    red, dark = skin * (0.98, 0.76, 0.72), skin * (0.76, 0.64, 0.60)
    nail = np.minimum(skin * (1.08, 0.96, 0.95) + 0.05, 1)
    albedo = np.broadcast_to(skin, (h, w, 3)).astype(np.float32)
    for index, part in enumerate(parts):
        if part.kind in ("skin", "palm"):
            continue
        rows, cols = np.nonzero(field.part == index)
        if not len(rows):
            continue
        if part.kind == "sleeve":
            along = ((cols - part.start[0]) * part.along[0] + (rows - part.start[1]) * part.along[1]) / size
            assert view.sleeve is not None
            albedo[rows, cols] = view.sleeve * (0.92 + 0.08 * np.sin(along * 22))[:, None]
            continue
        dx, dy, dz = cols - part.start[0], rows - part.start[1], field.z[rows, cols] - part.start[2]
        along = (dx * part.along[0] + dy * part.along[1] + dz * part.along[2]) / size
        across = (-dx * part.along[1] + dy * part.along[0]) / size
        colour = np.repeat(skin[None], len(rows), 0)
        knuckle = 0.5 * np.exp(-((along / 0.08) ** 2))[:, None]
        colour += (red - colour) * knuckle
        crease = 0.35 * np.exp(-((along / 0.022) ** 2))[:, None]
        colour += (dark - colour) * crease
        if part.kind == "tip":
            length = part.length / size
            flush = 0.3 * np.clip(along / max(length, 1e-3) - 0.3, 0, 1)[:, None]
            colour += (red - colour) * flush
            radius = part.radius / size
            oval = np.abs(across / (radius * 0.75)) ** 2.5 + np.abs((along - 0.85 * length) / (0.55 * length)) ** 2.5
            plate = 0.85 / (1 + np.exp(np.clip((oval - 1) * 10, -30, 30)))[:, None]
            colour += (nail - colour) * plate
        albedo[rows, cols] = colour
    return albedo


def silhouette(view: HandView, shape: tuple[int, int], forearm: bool = True) -> np.ndarray:
    """Where a hand would be drawn (H, W) 0..1, with or without its forearm, without drawing it."""
    field = _HeightField(*shape)
    parts = _build(view, field, 1)
    shown = [index for index, part in enumerate(parts) if forearm or part.kind not in ("skin", "sleeve")]
    return np.isin(field.part, shown).astype(np.float32)


def draw_hand(picture: np.ndarray, view: HandView, light: np.ndarray, scale: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Draw one hand and its shadow over a picture.

    Args:
        picture: (H, W, 3) float 0..1; not changed.
        view: pose, place and look of the hand.
        light: (3,) direction towards the light; x right, y down, z to the viewer.
        scale: supersampling; the hand is computed at this multiple of the picture's size.

    Returns:
        The picture with the hand (H, W, 3), and its silhouette with the forearm (H, W) 0..1.
    """
    H, W = picture.shape[:2]
    field = _HeightField(H * scale, W * scale)
    parts = _build(view, field, scale)
    mask = field.part >= 0
    if not mask.any():
        return picture, np.zeros((H, W), np.float32)
    size = view.palm * scale
    # Work in the hand's own rectangle: most of the frame is not touched.
    margin = int(0.8 * size)
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y0, y1 = max(rows[0] - margin, 0) // scale * scale, min(rows[-1] + margin, H * scale) // scale * scale
    x0, x1 = max(cols[0] - margin, 0) // scale * scale, min(cols[-1] + margin, W * scale) // scale * scale
    crop = _HeightField(0, 0)
    crop.z, crop.part = field.z[y0:y1, x0:x1], field.part[y0:y1, x0:x1]
    for part in parts:
        part.start = part.start - np.array([x0, y0, 0])
    window = (slice(y0 // scale, y1 // scale), slice(x0 // scale, x1 // scale))
    under = cv2.resize(picture[window].astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    lit = _shade(crop, parts, view, light / np.linalg.norm(light), size, scale, under)
    out = picture.astype(np.float32).copy()
    small = (out[window].shape[1], out[window].shape[0])
    out[window] = cv2.resize(lit, small, interpolation=cv2.INTER_AREA)
    silhouette = cv2.resize(mask.astype(np.float32), (W, H), interpolation=cv2.INTER_AREA)
    return out, silhouette


def _shade(field, parts, view: HandView, light: np.ndarray, size: float, scale: int, under: np.ndarray) -> np.ndarray:
    """Light the height field over the picture ``under`` (h, w, 3) of the same size."""
    mask = field.part >= 0
    table = np.float32(-0.35 * size - view.lift * scale)
    z = np.where(mask, field.z, table).astype(np.float32)
    h, w = mask.shape

    # Cast shadow: march the surface along the light and see where it rises above what lies there.
    ray = light / max(float(light[2]), 0.3)
    top = float(z.max() - table)
    shadow = np.zeros((h, w), np.float32)
    for step in np.linspace(top / 8, top, 8):
        shift = np.array([[1, 0, -ray[0] * step], [0, 1, -ray[1] * step]], np.float32)
        above = cv2.warpAffine(z, shift, (w, h), borderValue=float(table)) - (z + step)
        shadow = np.maximum(shadow, np.clip(above / (0.06 * size), 0, 1))
    on_table = cv2.GaussianBlur(shadow, (0, 0), 0.06 * size) * 0.5
    under = under * (1 - on_table)[..., None]

    inside = mask.astype(np.float32)
    surface = np.where(mask, field.z, 0).astype(np.float32)

    def blurred(sigma: float) -> np.ndarray:
        weight = cv2.GaussianBlur(inside, (0, 0), sigma)
        return cv2.GaussianBlur(surface, (0, 0), sigma) / np.maximum(weight, 1e-3)

    smooth = blurred(0.02 * size)
    smooth = np.where(mask & (np.abs(smooth - field.z) > 0.05 * size), field.z, smooth)  # keep depth edges crisp
    gx, gy = cv2.Scharr(smooth, cv2.CV_32F, 1, 0) / 32, cv2.Scharr(smooth, cv2.CV_32F, 0, 1) / 32
    limit = np.minimum(1, 4 / np.maximum(np.hypot(gx, gy), 1e-6))
    normal = np.dstack([-gx * limit, -gy * limit, np.ones_like(gx)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    occlusion = np.ones((h, w), np.float32)
    for radius, strength in ((0.05, 0.55), (0.13, 0.40)):
        occlusion *= 1 - strength * np.clip((blurred(radius * size) - field.z) / (radius * 2.2 * size), 0, 1)

    facing = normal @ light.astype(np.float32)
    diffuse = 0.74 * np.clip((facing + 0.35) / 1.35, 0, 1) * (1 - 0.5 * cv2.GaussianBlur(shadow, (0, 0), 0.02 * size))
    halfway = light + np.array([0, 0, 1.0])
    gloss = np.clip(normal @ (halfway / np.linalg.norm(halfway)).astype(np.float32), 0, 1) ** 24
    ambient = 0.50 + 0.10 * normal[..., 2]
    radiance = ambient * occlusion + diffuse * (0.35 + 0.65 * occlusion)
    colour = _albedo(field, parts, view, size) * radiance[..., None] * np.array([1.0, 0.985, 0.96], np.float32)
    colour += 0.05 * gloss[..., None]
    colour *= (1 - 0.34 * np.clip(1 - normal[..., 2], 0, 1) ** 2)[..., None]
    return np.where(mask[..., None], np.clip(colour, 0, 1), under).astype(np.float32)

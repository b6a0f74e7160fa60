"""Paint the demo's pictures: run once, its results are kept in demo/images.

    python -m venv /tmp/paint && /tmp/paint/bin/pip install pillow numpy
    /tmp/paint/bin/python demo/make_images.py

Needs Pillow (11.3 or newer, for AVIF) and NumPy, which are no requirement of the project: nothing else
imports this file. Twelve made-up auction lots, each as a picture and a thumbnail, cover every kind of image
file that the CDN serves. Everything is computed from formulas and a seeded generator, so no picture has a
foreign author.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FOLDER = Path(__file__).parent / "images"
LIGHT = np.array([-0.45, -0.6, 0.66])  # towards the lamp: left, up, to the viewer; length 1
THUMB = 168  # the longer side of a thumbnail, in pixels

Picture = Image.Image
Colour = tuple[int, int, int]


class Subject(NamedTuple):
    """One made-up lot: how it is painted and as what kind of file it is kept."""

    name: str  # file name without extension
    extension: str  # jpg, png, gif, webp or avif
    kind: str  # what is special about the encoding, for PROVENANCE.md
    paint: Callable[[], list[Picture]]  # one frame, or several for an animation
    options: dict[str, object]  # of Pillow's save()


def noise(height: int, width: int, seed: int, octaves: int = 6) -> np.ndarray:
    """Return smooth random values between 0 and 1: octaves of noise, each half as strong as the last."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width))
    for octave in range(octaves):
        cells = 2 ** (octave + 1)
        grid = Image.fromarray(generator.random((cells, cells)).astype(np.float32))
        total += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x from -1 to 1 and y in the same scale, downwards, both of shape (height, width)."""
    rows, columns = np.mgrid[0:height, 0:width]
    return (columns - width / 2) / (width / 2), (rows - height / 2) / (width / 2)


def mix(first: Colour, second: Colour, share: np.ndarray) -> np.ndarray:
    """Blend two colours; `share` (0 to 1) is the second's part per pixel."""
    part = np.clip(share, 0, 1)[..., None]
    return np.array(first) * (1 - part) + np.array(second) * part


def picture(pixels: np.ndarray) -> Picture:
    """Turn an array of 0 to 255 into an RGB picture."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")


def lit(colour: np.ndarray, normal: np.ndarray, shine: float) -> np.ndarray:
    """Shade a surface: an ambient part, a matt part and a highlight of strength `shine`."""
    facing = np.clip(normal @ LIGHT, 0, 1)
    mirrored = np.clip((2 * (normal @ LIGHT)[..., None] * normal - LIGHT)[..., 2], 0, 1)
    return colour * (0.25 + 0.8 * facing)[..., None] + (255 * shine * mirrored**24)[..., None]


def table(height: int, width: int, wall: Colour, top: Colour, edge: float, seed: int) -> np.ndarray:
    """Paint a backdrop: a wall that darkens to the sides, and a wooden table from y = `edge` on."""
    x, y = grid(height, width)
    wood = 0.5 + 0.5 * np.sin(40 * (y + 0.25 * noise(height, width, seed, 4)) + 2 * x)
    board = mix(top, (int(top[0] * 0.7), int(top[1] * 0.65), int(top[2] * 0.6)), wood)
    backdrop = mix(wall, (30, 30, 36), 0.75 * np.hypot(x + 0.25, y + 0.2) / 1.4)
    return np.where((y > edge)[..., None], board * (1.05 - 0.4 * np.abs(x))[..., None], backdrop)


def shadow(pixels: np.ndarray, x0: float, y0: float, wide: float, flat: float) -> np.ndarray:
    """Darken an ellipse on the table, softly."""
    x, y = grid(*pixels.shape[:2])
    inside = np.exp(-((((x - x0) / wide) ** 2 + ((y - y0) / flat) ** 2) ** 1.5))
    return pixels * (1 - 0.7 * inside)[..., None]


def turned(
    pixels: np.ndarray,
    radius: Callable[[np.ndarray], np.ndarray],
    top: float,
    bottom: float,
    coat: Callable[[np.ndarray, np.ndarray], np.ndarray],
    shine: float,
) -> np.ndarray:
    """Put a body of revolution on the picture: `radius` per height, `coat` per angle and height."""
    x, y = grid(*pixels.shape[:2])
    r = np.maximum(radius(y), 1e-6)
    inside = (y > top) & (y < bottom) & (np.abs(x) < r)
    u = np.clip(x / r, -0.999, 0.999)
    slope = (radius(y + 0.004) - radius(y - 0.004)) / 0.008
    normal = np.stack([u, -slope, np.sqrt(1 - u * u)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.where(inside[..., None], lit(coat(np.arcsin(u), y), normal, shine), pixels)


def paint_vase() -> list[Picture]:
    """A blue and white porcelain vase."""
    height, width = 800, 620
    pixels = shadow(table(height, width, (172, 160, 142), (128, 84, 52), 0.72, 3), 0.18, 1.0, 0.62, 0.1)

    def radius(y: np.ndarray) -> np.ndarray:
        return 0.16 + 0.36 * np.exp(-(((y - 0.25) / 0.42) ** 2)) + 0.1 * np.exp(-(((y + 0.95) / 0.12) ** 2))

    def coat(angle: np.ndarray, y: np.ndarray) -> np.ndarray:
        leaves = np.sin(7 * angle + 5 * np.sin(5 * y)) * np.sin(17 * y) > 0.25
        bands = (np.abs(np.sin(9 * y)) < 0.1) | (np.abs(y + 0.6) < 0.03)
        blue = ((leaves & (np.abs(y - 0.2) < 0.45)) | bands).astype(float)
        return mix((236, 238, 240), (30, 62, 150), blue * (0.75 + 0.25 * noise(height, width, 5)))

    return [picture(turned(pixels, radius, -0.98, 1.0, coat, 0.8))]


def paint_bowl() -> list[Picture]:
    """A lathe-turned bowl of walnut."""
    height, width = 560, 720
    pixels = shadow(table(height, width, (96, 112, 118), (196, 184, 164), 0.3, 9), 0.1, 0.46, 0.7, 0.09)

    def radius(y: np.ndarray) -> np.ndarray:
        return 0.22 + 0.48 * np.sqrt(np.clip((0.46 - y) / 0.62, 0, 1))

    def coat(angle: np.ndarray, y: np.ndarray) -> np.ndarray:
        rings = np.sin(60 * np.hypot(np.sin(angle) * 0.6, y * 1.3 + 0.5) + 6 * noise(height, width, 12, 4))
        return mix((150, 92, 48), (84, 46, 24), 0.5 + 0.5 * rings)

    pixels = turned(pixels, radius, -0.16, 0.46, coat, 0.45)
    x, y = grid(height, width)
    rim = (x / 0.7) ** 2 + ((y + 0.16) / 0.1) ** 2
    inner = mix((70, 40, 22), (150, 98, 58), 0.5 + 0.5 * x + 1.5 * (y + 0.16))
    pixels = np.where((rim < 1)[..., None], inner, pixels)
    return [picture(np.where(((rim > 0.92) & (rim < 1))[..., None], (186, 128, 80), pixels))]


def balls(pixels: np.ndarray, placed: list[tuple[float, float, float, Colour]]) -> np.ndarray:
    """Put lit balls (x, y, radius, colour) on the picture, the last one in front."""
    height, width = pixels.shape[:2]
    x, y = grid(height, width)
    skin = noise(height, width, 21, 7)
    for x0, y0, r, colour in placed:
        pixels = shadow(pixels, x0 + 0.35 * r, y0 + 0.92 * r, 1.15 * r, 0.3 * r)
        u, v = (x - x0) / r, (y - y0) / r
        depth = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
        normal = np.stack([u, v, depth], axis=-1)
        spotted = mix(colour, (min(colour[0] + 40, 255), colour[1] // 2 + 90, 40), 1.4 * (skin - 0.45))
        pixels = np.where((u * u + v * v < 1)[..., None], lit(spotted, normal, 0.6), pixels)
    return pixels


def paint_fruit() -> list[Picture]:
    """A still life of apples, oranges and plums."""
    pixels = table(540, 760, (112, 96, 84), (150, 110, 72), 0.1, 2)
    fruit = [
        (-0.42, 0.08, 0.21, (196, 40, 30)),
        (0.3, 0.06, 0.2, (206, 176, 54)),
        (-0.05, 0.1, 0.22, (214, 120, 24)),
        (-0.25, 0.32, 0.19, (120, 150, 40)),
        (0.18, 0.36, 0.16, (98, 44, 92)),
        (0.47, 0.34, 0.15, (88, 36, 84)),
    ]
    return [picture(balls(pixels, fruit))]


def paint_landscape() -> list[Picture]:
    """A lake among mountains in the evening."""
    height, width = 560, 840
    x, y = grid(height, width)
    pixels = mix((60, 88, 140), (250, 190, 130), (y + 0.66) / 0.75)
    clouds = noise(height, width, 31, 7)
    veil = mix((255, 214, 190), (255, 236, 220), clouds)
    pixels = veil + (pixels - veil) * (1 - np.clip(2.4 * clouds - 1.35, 0, 0.8))[..., None]
    pixels += (255 * np.exp(-(((x - 0.35) ** 2 + (y + 0.12) ** 2) / 0.004)))[..., None]
    for number, (base, rough, colour) in enumerate(
        [(-0.18, 0.5, (110, 110, 140)), (-0.05, 0.36, (72, 76, 98)), (0.06, 0.2, (38, 46, 56))]
    ):
        ridge = base + 0.2 - rough * noise(1, width, 40 + number, 8)
        bright = (colour[0] + 60, colour[1] + 50, colour[2] + 40)
        rock = mix(colour, bright, noise(height, width, 50 + number, 8) - 0.2)
        pixels = np.where((y > ridge)[..., None], rock, pixels)
    waterline = int(height * 0.68)
    depth = height - waterline
    mirror = pixels[waterline - depth : waterline][::-1] * 0.72 + np.array([4, 12, 22])
    rows = np.arange(depth)
    shift = (4 * np.sin(rows * 0.9) + 9 * np.sin(rows * 0.23)).astype(int)
    pixels[waterline:] = np.stack([np.roll(row, offset, axis=0) for row, offset in zip(mirror, shift)])
    return [picture(pixels)]


def paint_dunes() -> list[Picture]:
    """Sand dunes under a hard sky."""
    height, width = 540, 800
    x, y = grid(height, width)
    pixels = mix((52, 104, 178), (196, 218, 232), (y + 0.65) / 0.7)
    for number in range(5):
        swing = 0.16 * np.sin((2 + number % 3) * x + number * 1.7) + 0.03 * np.sin(7 * x + number)
        ridge = -0.2 + 0.17 * number + swing
        slope = np.gradient(ridge, axis=1) * width / 2
        wind = 30 * noise(height, width, 60 + number, 3)
        ripples = 0.12 * np.sin(170 * (y - ridge) / (1 + 2 * np.abs(y)) + wind)
        sand = mix((236, 184, 112), (120, 70, 44), 0.45 + 0.8 * slope + ripples + 0.4 * (y - ridge))
        pixels = np.where((y > ridge)[..., None], sand, pixels)
    return [picture(pixels)]


def relief(side: int, angle: float) -> np.ndarray:
    """Return the height map of a coin's face: a rim with dots, and a star flower turned by `angle`."""
    x, y = grid(side, side)
    r, phi = np.hypot(x, y), np.arctan2(y, x) + angle
    rim = 0.05 * np.clip(1 - np.abs(r - 0.86) / 0.05, 0, 1)
    dots = 0.03 * np.clip(np.cos(48 * phi), 0, 1) * np.exp(-(((r - 0.75) / 0.02) ** 2))
    petals = 0.09 * np.clip(1 - (r / (0.4 + 0.2 * np.cos(6 * phi))) ** 2, 0, 1) ** 0.5
    ring = 0.03 * np.exp(-(((r - 0.16) / 0.03) ** 2))
    return rim + dots + petals + ring + 0.006 * noise(side, side, 70, 8)


def coin(side: int, metal: Colour, angle: float = 0.0) -> np.ndarray:
    """Paint a coin of `metal` on dark velvet."""
    high = relief(side, angle)
    down, right = np.gradient(high * side / 2)
    normal = np.stack([-right, -down, np.ones_like(high)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    x, y = grid(side, side)
    velvet = mix((20, 22, 40), (46, 26, 58), noise(side, side, 71, 8))
    base = np.broadcast_to(np.array(metal, dtype=float), (side, side, 3))
    return np.where((np.hypot(x, y) < 0.92)[..., None], lit(base, normal, 0.5), velvet)


def paint_coin() -> list[Picture]:
    """A silver coin, in grey: the file has one channel."""
    return [picture(coin(620, (188, 188, 190))).convert("L")]


def paint_medal() -> list[Picture]:
    """A gilded medal whose flower turns: an animation of eight frames."""
    frames = [picture(coin(150, (214, 168, 62), turn * math.pi / 24)) for turn in range(8)]
    return [frame.quantize(32, dither=Image.Dither.NONE) for frame in frames]


def paint_painting() -> list[Picture]:
    """An abstract oil painting in a gilded frame: many strokes that follow a field of noise."""
    width, height = 600, 480
    canvas = Image.new("RGB", (width, height), (196, 180, 150))
    draw = ImageDraw.Draw(canvas)
    generator = np.random.default_rng(80)
    field, tone = noise(height, width, 81, 3), noise(height, width, 82, 3)
    paints = [(178, 54, 38), (222, 156, 60), (38, 84, 116), (24, 40, 64), (232, 214, 176), (92, 122, 88)]
    for _ in range(2600):
        x, y = int(generator.integers(width)), int(generator.integers(height))
        angle = 4 * math.pi * field[y, x]
        length = generator.uniform(14, 46)
        paint = paints[min(int(tone[y, x] * 1.2 * len(paints) + generator.normal(0, 0.6)) % len(paints), 5)]
        shade = generator.uniform(0.8, 1.15)
        end = (x + length * math.cos(angle), y + length * math.sin(angle))
        colour = tuple(min(255, int(part * shade)) for part in paint)
        draw.line([(x, y), end], fill=colour, width=int(generator.integers(4, 12)))
    canvas = canvas.filter(ImageFilter.SMOOTH)
    for inset in range(34):
        gold = int(150 + 70 * math.sin(inset / 5))
        box = (inset, inset, width - 1 - inset, height - 1 - inset)
        ImageDraw.Draw(canvas).rectangle(box, outline=(gold, int(gold * 0.78), int(gold * 0.36)))
    return [canvas]


def paint_clock() -> list[Picture]:
    """The face of a long-case clock, with transparent corners."""
    side = 340
    face = Image.new("RGBA", (960, 960), (0, 0, 0, 0))
    draw, centre = ImageDraw.Draw(face), 480
    for r, colour in [(460, (108, 72, 30)), (440, (206, 166, 84)), (410, (244, 238, 220))]:
        draw.ellipse((centre - r, centre - r, centre + r, centre + r), fill=(*colour, 255))
    for minute in range(60):
        angle, inner = minute * math.pi / 30, 330 if minute % 5 == 0 else 372
        ends = [(centre + r * math.sin(angle), centre - r * math.cos(angle)) for r in (inner, 392)]
        draw.line(ends, fill=(40, 34, 30, 255), width=14 if minute % 5 == 0 else 5)
    for angle, length, wide in [(math.radians(305), 210, 22), (math.radians(54), 320, 13)]:
        tip = (centre + length * math.sin(angle), centre - length * math.cos(angle))
        draw.line([(centre, centre), tip], fill=(26, 34, 62, 255), width=wide)
    draw.ellipse((centre - 24, centre - 24, centre + 24, centre + 24), fill=(150, 110, 44, 255))
    return [face.resize((side, side), Image.Resampling.LANCZOS)]


def paint_kilim() -> list[Picture]:
    """A woven rug of few colours."""
    height, width = 600, 420
    rows, columns = np.mgrid[0:height, 0:width] // 6
    across = np.abs((columns % 24) - 12) + np.abs((rows % 30) - 15)
    figure = np.where(rows % 30 < 3, 6 + (columns // 2) % 2, (across // 3 + rows // 30) % 6)
    dyes = [(142, 34, 32), (24, 44, 76), (214, 186, 132), (64, 88, 60), (196, 112, 40), (46, 22, 20)]
    colours = np.array([*dyes, (232, 222, 196), (90, 24, 40)])
    weave = np.where((np.mgrid[0:height, 0:width][1] + np.mgrid[0:height, 0:width][0]) % 3 == 0, 0.82, 1.0)
    worn = 0.92 + 0.08 * np.round(noise(height, width, 90, 4) * 2) / 2
    return [picture(colours[figure] * (weave * worn)[..., None]).quantize(32, dither=Image.Dither.NONE)]


def paint_engraving() -> list[Picture]:
    """An engraved hill town in two tones: lines that thicken where it is dark."""
    height, width = 420, 560
    x, y = grid(height, width)
    hills = 0.12 + 0.1 * np.sin(2.2 * x + 1) + 0.12 * noise(height, width, 95, 5)
    dark = np.where(y > hills, 0.45 + 0.5 * noise(height, width, 96, 5), 0.02 + 0.22 * np.clip(-y, 0, 1))
    for house in range(11):
        left, tall = -0.82 + house * 0.15, 0.16 + 0.3 * abs(math.sin(house * 2.3))
        roof = 0.2 - tall + np.abs(x - left - 0.065) * 1.4
        front, side = (x > left) & (x < left + 0.08), (x >= left + 0.08) & (x < left + 0.13)
        dark = np.where(front & (y > roof) & (y < 0.22), 0.12, dark)
        dark = np.where(side & (y > roof) & (y < 0.22), 0.9, dark)
    hatch = 0.5 + 0.5 * np.sin(1.05 * (y * width / 2) + 3 * noise(height, width, 97, 3))
    ink = np.where(hatch < dark, 46, 236)
    return [Image.fromarray(ink.astype(np.uint8), "L").quantize(8, dither=Image.Dither.NONE)]


def paint_gem() -> list[Picture]:
    """A brilliant from above: flat facets, for a lossless file."""
    side = 420
    x, y = grid(side, side)
    r, phi = np.hypot(x, y), np.arctan2(y, x)
    facet = np.floor(phi / (math.pi / 8)) + 8
    ring = np.digitize(r * np.cos((phi % (math.pi / 8)) - math.pi / 16), [0.3, 0.5, 0.68, 0.85])
    sparkle = 0.5 + 0.5 * np.sin(12.9898 * facet + 78.233 * ring)
    colour = np.round(mix((8, 70, 62), (150, 250, 214), sparkle))
    colour = np.where((ring == 0)[..., None], (96, 206, 172), colour)
    velvet = np.broadcast_to(np.array([26, 20, 34]), (side, side, 3))
    return [picture(np.where((ring == 4)[..., None], velvet, colour))]


SUBJECTS = [
    Subject("vase", "jpg", "JPEG baseline", paint_vase, {"quality": 84}),
    Subject("coin", "jpg", "JPEG baseline, one grey channel", paint_coin, {"quality": 80}),
    Subject("painting", "jpg", "JPEG baseline, 4:4:4", paint_painting, {"quality": 42, "subsampling": 0}),
    Subject("landscape", "jpg", "JPEG progressive", paint_landscape, {"quality": 80, "progressive": True}),
    Subject("fruit", "jpg", "JPEG progressive", paint_fruit, {"quality": 84, "progressive": True}),
    Subject("clock", "png", "PNG with transparency", paint_clock, {"optimize": True}),
    Subject("kilim", "png", "PNG with a palette", paint_kilim, {"optimize": True}),
    Subject("engraving", "gif", "GIF", paint_engraving, {"comment": "a hill town"}),
    Subject("medal", "gif", "GIF, animated, 8 frames", paint_medal, {"duration": 120, "loop": 0}),
    Subject("bowl", "webp", "WebP lossy", paint_bowl, {"quality": 80, "method": 6}),
    Subject("gem", "webp", "WebP lossless", paint_gem, {"lossless": True, "method": 6}),
    Subject("dunes", "avif", "AVIF", paint_dunes, {"quality": 62}),
]


def save(frames: list[Picture], path: Path, options: dict[str, object]) -> None:
    """Write one picture, or an animation, and open it again to the last pixel."""
    more: dict[str, object] = {"save_all": True, "append_images": frames[1:]} if len(frames) > 1 else {}
    frames[0].save(path, **options, **more)
    with Image.open(path) as again:
        again.load()
        if getattr(again, "n_frames", 1) != len(frames):
            raise ValueError(f"{path.name} has {getattr(again, 'n_frames', 1)} frames, not {len(frames)}")


def small(frame: Picture) -> Picture:
    """Return a thumbnail, in a mode that the same kind of file can hold."""
    reduced = frame.convert("RGB") if frame.mode == "P" else frame.copy()
    reduced.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    return reduced.quantize(32, dither=Image.Dither.NONE) if frame.mode == "P" else reduced


def row(path: Path, kind: str) -> str:
    """Describe one file as a row of PROVENANCE.md's table."""
    body = path.read_bytes()
    with Image.open(path) as opened:
        size = f"{opened.width} x {opened.height}"
    return f"| {path.name} | {kind} | {size} | {len(body):,} | `{hashlib.sha256(body).hexdigest()}` |"


PROVENANCE = """\
# Where these pictures come from

They show made-up auction lots. Each was computed by `demo/make_images.py` from formulas and a seeded random
generator (NumPy {numpy}), encoded by Pillow {pillow}, and opened again after it was written. No photograph,
font or other person's work went into them. They are dedicated to the public domain: **CC0 1.0**
(https://creativecommons.org/publicdomain/zero/1.0/).

Another version of Pillow's codecs may encode the same picture to other bytes, so the files are kept here and
not made anew for each run. The demo's CDN adds a comment with the path to every file that it serves
(`demo/stamp.py`), so that no two URLs have the same bytes.

| file | kind | pixels | bytes | SHA-256 |
|---|---|---|---|---|
{rows}
"""


def main() -> int:
    """Paint all subjects and their thumbnails, and write PROVENANCE.md beside them."""
    import PIL

    FOLDER.mkdir(exist_ok=True)
    rows = []
    for subject in SUBJECTS:
        frames = subject.paint()
        for name, shown in ((subject.name, frames), (f"{subject.name}-thumb", [small(frames[0])])):
            path = FOLDER / f"{name}.{subject.extension}"
            save(shown, path, subject.options)
            rows.append(row(path, subject.kind))
            print(f"{path.name:24} {path.stat().st_size:>8,}")
    text = PROVENANCE.format(numpy=np.__version__, pillow=PIL.__version__, rows="\n".join(rows))
    (FOLDER / "PROVENANCE.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

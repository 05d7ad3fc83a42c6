"""Synthetic road scenes: real Fashion-MNIST objects with boxes on generated roads, and the lines of the lane.

No picture here was taken on a road. The objects are photographs of Fashion-MNIST (trousers, sneakers, bags: their
shapes are as unlike as those of pedestrians, cars and vans), scaled with the distance and set upon a road-like
background: a sky, verges, a road that narrows to its vanishing point, and the two lines of the lane, which may bend.
Training scenes take their objects from the set's training part, test scenes from its test part. No two objects of a
scene have their centres in one cell of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from hwgen.train.data.sets import fashion_mnist
from hwgen.train.detection import encode

Array = np.ndarray[Any, np.dtype[Any]]

CLASSES = {"trouser": 1, "sneaker": 7, "bag": 8}
"""Name: class number in Fashion-MNIST; the order gives the labels here."""

SIZE, GRID = 48, 6
"""Pixels of a side (grey), and cells of a side in which detections are told."""
DAY, DUSK = (0.75, 1.0), (0.35, 0.6)
"""Brightness of a scene, from and to."""
ANCHORS = (22, 30, 38, 46)
"""Rows at which the lane's lines are looked for."""
MOST = 3
"""Objects in a scene at most."""
LEAST_PX, MOST_PX = 9.0, 20.0
"""Side of an object at the horizon and at the lower edge."""
OVERLAP = 0.15
"""How much of the smaller box another one may cover."""

TRAIN, TEST, SEED = 6000, 1500, 411


@dataclass(frozen=True)
class Scene:
    """One picture and what is in it.

    Parameters
    ----------
    picture : (48, 48) uint8
    boxes : (n, 4) float, in pixels: centre x, centre y, width, height
    labels : (n,) class numbers
    lane : (2, 4) float, in pixels: x of the left and of the right line at each row of `ANCHORS`
    """

    picture: Array
    boxes: Array
    labels: Array
    lane: Array


def load() -> tuple[Any, ...]:
    """Return x_train, y_train, x_test, y_test.

    Pictures are uint8 (n, 48, 48, 1); targets are a grid of boxes (n, 6, 6, 8) and a lane (n, 8), float32.
    """
    x_train, *y_train = arrays(compose(TRAIN, *things("train"), SEED))
    x_test, *y_test = arrays(compose(TEST, *things("test"), SEED + 1))
    return x_train, tuple(y_train), x_test, tuple(y_test)


def dusk() -> tuple[Array, tuple[Array, ...]]:
    """Return test scenes at dusk: half of the light, twice the noise."""
    x, *y = arrays(compose(TEST, *things("test"), SEED + 2, light=DUSK, noise=0.04))
    return x, tuple(y)


def things(part: str) -> tuple[Array, Array]:
    """Return the objects of Fashion-MNIST's part ``train`` or ``test``, and their class numbers here."""
    raw = fashion_mnist()
    pictures, labels = np.asarray(getattr(raw, f"x_{part}")), np.asarray(getattr(raw, f"y_{part}"))
    wanted = list(CLASSES.values())
    chosen = np.isin(labels, wanted)
    return pictures[chosen].reshape(-1, 28, 28), np.array([wanted.index(k) for k in labels[chosen]])


def arrays(scenes: list[Scene]) -> tuple[Array, Array, Array]:
    """Return pictures, target grids of the boxes, and lanes: x of the left and the right line, as shares."""
    grids = encode([s.boxes / SIZE for s in scenes], [s.labels for s in scenes], (GRID, GRID), len(CLASSES))
    lanes = np.stack([s.lane.reshape(-1) for s in scenes]) / SIZE
    return np.stack([s.picture for s in scenes])[..., None], grids, lanes.astype(np.float32)


def compose(
    count: int,
    objects: Array,
    kinds: Array,
    seed: int,
    *,
    light: tuple[float, float] = DAY,
    noise: float = 0.02,
) -> list[Scene]:
    """Return `count` scenes.

    Parameters
    ----------
    objects : (n, 28, 28) uint8, pictures of Fashion-MNIST
    kinds : (n,) their class numbers here (0: trouser, 1: sneaker, 2: bag)
    light : brightness of a scene, from and to
    noise : deviation of the sensor's noise, as a share of white
    """
    rng = np.random.default_rng(seed)
    cut = [[crop(picture) for picture in objects[kinds == kind][:2000]] for kind in range(len(CLASSES))]
    return [_scene(rng, cut, light, noise) for _ in range(count)]


def crop(picture: Array) -> Array:
    """Return the part of an object's picture that is not background, as values 0..1."""
    rows, columns = np.nonzero((picture > 20).any(axis=1))[0], np.nonzero((picture > 20).any(axis=0))[0]
    if not len(rows):
        return np.ones((4, 4))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / 255.0


def _scene(rng: np.random.Generator, cut: list[list[Array]], light: tuple[float, float], noise: float) -> Scene:
    horizon = rng.uniform(0.26, 0.36) * SIZE
    picture, lane = _road(rng, horizon)
    boxes: list[Array] = []
    labels: list[int] = []
    for _ in range(int(rng.integers(1, MOST + 1))):
        kind = int(rng.integers(len(CLASSES)))
        box = _place(rng, cut[kind][int(rng.integers(len(cut[kind])))], horizon, picture, boxes)
        if box is not None:
            boxes.append(box)
            labels.append(kind)
    noisy = rng.uniform(*light) * gaussian_filter(picture, 0.4) + rng.normal(0, noise, picture.shape)
    shown = np.clip(np.rint(255 * noisy), 0, 255).astype(np.uint8)
    return Scene(shown, np.array(boxes).reshape(-1, 4), np.array(labels, np.int64), lane)


def _road(rng: np.random.Generator, horizon: float) -> tuple[Array, Array]:
    """Return the background (48, 48), 0..1, and the x of both lines at `ANCHORS`."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    sky = 0.75 - 0.15 * y / horizon
    verge = 0.28 + gaussian_filter(rng.normal(0, 0.25, (SIZE, SIZE)), 1.0)
    depth = np.clip((y - horizon) / (SIZE - horizon), 0, 1)
    vanish, bend = rng.uniform(0.35, 0.65) * SIZE, rng.normal(0, 5.0)
    half, middle = rng.uniform(0.3, 0.42) * SIZE, rng.uniform(0.44, 0.56) * SIZE

    def line(side: int, at: Array) -> Array:
        return np.asarray(vanish + (middle + side * half - vanish) * at + bend * at * (1 - at))

    road = np.abs(x - line(0, depth)) < 1.5 + 1.45 * half * depth
    picture = np.where(y < horizon, sky, np.where(road, rng.uniform(0.36, 0.46), verge))
    phase, dash = rng.uniform(0, 1), rng.uniform(3, 5)
    for side in (-1, 1):
        painted = np.abs(x - line(side, depth)) < 0.45 + 1.0 * depth
        gaps = (np.sqrt(depth) * dash + phase) % 1 < 0.35 if side < 0 else False
        picture = np.where(painted & (y > horizon + 1) & ~np.asarray(gaps), 0.85, picture)
    anchors = np.clip((np.array(ANCHORS) + 0.5 - horizon) / (SIZE - horizon), 0, 1)
    return picture, np.stack([line(-1, anchors), line(1, anchors)])


def _place(rng: np.random.Generator, thing: Array, horizon: float, picture: Array, boxes: list[Array]) -> Array | None:
    """Paint an object into `picture` where none is yet; return its box, None if no place was found."""
    for _ in range(8):
        near = rng.uniform(0, 1)
        side = LEAST_PX + (MOST_PX - LEAST_PX) * near * rng.uniform(0.85, 1.0)
        factor = side / max(thing.shape)
        scaled = np.clip(zoom(thing, factor, order=1), 0, 1)
        height, width = scaled.shape
        bottom = horizon + 4 + near * (SIZE - horizon - 4)
        top = int(np.clip(bottom - height, 0, SIZE - height))
        left = int(rng.integers(0, SIZE - width + 1))
        box = np.array([left + width / 2, top + height / 2, width, height])
        if any(_covered(box, other) > OVERLAP or _cell(box) == _cell(other) for other in boxes):
            continue
        mask = np.clip(scaled * 6, 0, 1)
        part = picture[top : top + height, left : left + width]
        part[...] = (1 - mask) * part + mask * (0.1 + 0.9 * scaled)
        return box
    return None


def _cell(box: Array) -> tuple[int, int]:
    """Return the cell of the grid that a box' centre lies in."""
    return int(box[0] * GRID / SIZE), int(box[1] * GRID / SIZE)


def _covered(a: Array, b: Array) -> float:
    """Return the share of the smaller of two boxes that the other covers."""
    low, high = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2), np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    return float(np.prod(np.maximum(high - low, 0)) / min(a[2] * a[3], b[2] * b[3]))

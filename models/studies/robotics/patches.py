"""Patches of a real picture, far or near: what stands in front of a robot, as a stereo pair's disparity tells.

The left picture of "Motorcycle", Middlebury Stereo Datasets 2014 (Scharstein et al., GCPR 2014), a quarter of its size
(741×500 pixels), and its measured disparity, as the Python package `scikit-image` carries them. `make stereo-data`
fetches its wheel; nothing of it is run or installed. The network sees one picture, no disparity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from hwgen.train.data.places import open_member

WHEEL = "scikit-image==0.26.0"
PICTURE = "skimage/data/motorcycle_left.png"
DISPARITY = "skimage/data/motorcycle_disp.npz"

SIZE, STRIDE = 24, 4
"""Of a patch, and between patches of a block, in pixels."""

BLOCK, GAP = 64, 8
"""The picture is cut into blocks, each whole for training or for testing; between them are pixels of no patch."""

TEST_SHARE, SEED = 0.25, 7

FAR, NEAR = 35.0, 41.0
"""Disparities in pixels. Below the first: farther than 2.9 m; above the second: an obstacle, nearer than 2.7 m."""

KNOWN = 0.75
"""Share of a patch's pixels whose disparity was measured."""

Array = np.ndarray[Any, np.dtype[Any]]


def load() -> dict[str, Array]:
    """Return patches of 24×24 pixels, 0..255 in three colours, and whether they are near, split by place.

    Training patches come mirrored too, and darker and brighter.
    """
    picture, disparity = read()
    (x_train, y_train), (x_test, y_test) = (cut(picture, disparity, blocks) for blocks in split(picture.shape[:2]))
    copies = [x_train, x_train[:, :, ::-1], shaded(x_train, 0.75), shaded(x_train[:, :, ::-1], 1.25)]
    return {
        "x_train": np.concatenate(copies),
        "y_train": np.tile(y_train, len(copies)),
        "x_test": x_test,
        "y_test": y_test,
        "classes": np.array(["far", "near"]),
    }


def read() -> tuple[Array, Array]:
    """Return the picture, (rows, columns, 3) bytes, and the disparity of its pixels; NaN or infinite: not known."""
    with open_member(WHEEL, PICTURE, "make stereo-data") as stream:
        picture = np.asarray(Image.open(stream).convert("RGB"))
    with open_member(WHEEL, DISPARITY, "make stereo-data") as stream, np.load(stream, allow_pickle=False) as file:
        disparity = file["arr_0"]
    return picture, disparity


def split(shape: tuple[int, int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the corners of the blocks for training, and of those for testing."""
    starts = [range(0, size - BLOCK + 1, BLOCK + GAP) for size in shape]
    blocks = [(row, column) for row in starts[0] for column in starts[1]]
    order = np.random.default_rng(SEED).permutation(len(blocks))
    tests = set(order[: round(TEST_SHARE * len(blocks))].tolist())
    return [b for i, b in enumerate(blocks) if i not in tests], [b for i, b in enumerate(blocks) if i in tests]


def corners(blocks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the corners of all patches that lie inside of one of `blocks`."""
    steps = range(0, BLOCK - SIZE + 1, STRIDE)
    return [(row + down, column + right) for row, column in blocks for down in steps for right in steps]


def cut(picture: Array, disparity: Array, blocks: list[tuple[int, int]]) -> tuple[Array, Array]:
    """Return the patches of `blocks` whose distance is clear, and their labels: 1 is near."""
    patches, labels = [], []
    for row, column in corners(blocks):
        place = (slice(row, row + SIZE), slice(column, column + SIZE))
        known = disparity[place][np.isfinite(disparity[place])]
        if known.size < KNOWN * SIZE * SIZE:
            continue
        middle = float(np.median(known))
        if not FAR <= middle <= NEAR:
            patches.append(picture[place])
            labels.append(int(middle > NEAR))
    return np.stack(patches), np.array(labels)


def shaded(patches: Array, gain: float) -> Array:
    """Return patches darker or brighter."""
    return np.clip(np.round(patches * gain), 0, 255).astype(np.uint8)

"""Synthetic chest radiographs: an X-ray phantom by Beer-Lambert attenuation, photon noise and detector blur.

No picture here is of a patient. A chest is a stack of ellipsoids, tubes and slabs; a ray through it is attenuated by
``exp(-sum(mu * path))``, with a linear attenuation coefficient mu a tissue (at about 70 keV) and the path length in it:

==============  =========  ======================================================
tissue          mu, 1/cm   shape
==============  =========  ======================================================
soft tissue     0.19       elliptic trunk, mediastinum
lung            0.055      two ellipsoids, in the place of soft tissue
heart, fluid    0.20       ellipsoid; what fills a lung from below
bone            0.50       spine (a column), ten pairs of ribs (tubes), clavicles
nodule          0.32       a partly calcified ball in a lung
==============  =========  ======================================================

The detector counts photons (Poisson), its light spreads (a Gaussian point spread function), and the picture is the
logarithm of what arrived, windowed to 0..255: dense tissue is bright, as on film. Classes: normal, nodule (3 to 5.2
cm), effusion (fluid in one lung, with a meniscus), cardiomegaly (a heart wider than half of the chest).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

Array = np.ndarray[Any, np.dtype[Any]]

CLASSES = ("normal", "nodule", "effusion", "cardiomegaly")
SIZE = 28
"""Pixels of a side, as MedMNIST's."""
FINE = 2
"""Rays per pixel and side before the detector bins them."""
FIELD_CM = 31.0
"""What the detector sees, a side."""

SOFT, LUNG, FLUID, BONE, NODULE = 0.19, 0.055, 0.20, 0.50, 0.32
PHOTONS = 60_000.0
"""Photons a ray without a patient."""
BLUR_RAYS = 0.9
"""Deviation of the detector's point spread function, in rays."""
WINDOW = (1.2, 5.2)
"""Line integrals shown as black and as white."""

TRAIN, TEST, SEED = 6000, 1000, 20231


@dataclass(frozen=True)
class Chest:
    """One patient's geometry, in cm from the middle of the detector; z is along the rays."""

    trunk: tuple[float, float]
    lungs: Array
    """(2, 5): x, y, and half axes x, y, z of each lung."""
    heart: Array
    """x, y, and half axes x, y, z."""
    tilt: float
    rib_step: float


def load() -> tuple[Array, Array, Array, Array]:
    """Return x_train, y_train, x_test, y_test: uint8 pictures (n, 28, 28, 1) and class numbers."""
    x_train, y_train = radiographs(TRAIN, SEED)
    x_test, y_test = radiographs(TEST, SEED + 1)
    return x_train, y_train, x_test, y_test


def other_machine() -> tuple[Array, Array]:
    """Return pictures of another X-ray machine: half of the photons, a blunter detector, patients placed worse."""
    return radiographs(TEST, SEED + 2, photons=PHOTONS / 2, blur=1.4 * BLUR_RAYS, misplaced_cm=1.5)


def radiographs(
    count: int, seed: int, *, photons: float = PHOTONS, blur: float = BLUR_RAYS, misplaced_cm: float = 0.7
) -> tuple[Array, Array]:
    """Return `count` pictures and their classes, as many of each (shuffled).

    Parameters
    ----------
    photons : photons a ray that enter
    blur : deviation of the detector's point spread function, in rays (half pixels)
    misplaced_cm : deviation of the patient's place before the detector
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(CLASSES))
    pictures = np.stack(
        [_expose(_line_integrals(rng, int(label), misplaced_cm), rng, photons, blur) for label in labels]
    )
    return pictures[..., None], labels.astype(np.int64)


def _grid() -> tuple[Array, Array]:
    axis = (np.arange(SIZE * FINE) + 0.5) / (SIZE * FINE) * FIELD_CM - FIELD_CM / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y


X, Y = _grid()


def _chest(rng: np.random.Generator, wide_heart: bool) -> Chest:
    size = rng.normal(1.0, 0.06)
    trunk = (15.5 * size, rng.normal(10.5, 0.7) * size)
    lungs = np.array(
        [
            [side * 7.0, rng.normal(-0.5, 0.5), rng.normal(5.0, 0.25), rng.normal(10.0, 0.6), trunk[1] * 0.72]
            for side in (-1, 1)
        ]
    )
    lungs[:, [0, 2, 3]] *= size
    chest = 2 * (lungs[1, 0] + lungs[1, 2])
    ratio = rng.uniform(0.57, 0.68) if wide_heart else rng.uniform(0.38, 0.47)
    half = ratio * chest / 2
    heart = np.array(
        [rng.normal(1.3, 0.3) * size, rng.normal(5.0, 0.5) * size, half, half * rng.normal(0.85, 0.04), 5.0]
    )
    return Chest(trunk, lungs, heart, rng.normal(0, 0.03), rng.normal(2.3, 0.1) * size)


def _line_integrals(rng: np.random.Generator, label: int, misplaced_cm: float) -> Array:
    chest = _chest(rng, wide_heart=label == 3)
    dx, dy = rng.normal(0, misplaced_cm, 2)
    x, y = X - dx + chest.tilt * Y, Y - dy - chest.tilt * X
    trunk = 2 * chest.trunk[1] * np.sqrt(np.maximum(1 - (x / chest.trunk[0]) ** 2, 0))
    total = SOFT * trunk
    air = np.zeros_like(x)
    for lung in chest.lungs:
        air = np.maximum(air, _ellipsoid(x, y, lung))
    heart = _ellipsoid(x, y, chest.heart)
    mediastinum = np.where(np.abs(x) < 2.3, 9.0, 0.0)
    filled = np.minimum(air, np.maximum(heart, mediastinum))
    if label == 2:
        lung = chest.lungs[rng.integers(2)]
        level = lung[1] + lung[3] * rng.uniform(-0.05, 0.55)
        meniscus = level - 2.5 * np.abs((x - lung[0]) / lung[2]) ** 3
        side = np.sign(x) == np.sign(lung[0])
        depth = np.clip((y - meniscus) / 1.5, 0, 1) * side
        filled = np.maximum(filled, air * depth)
    total += (LUNG - SOFT) * (air - filled) + (FLUID - SOFT) * filled
    if label == 1:
        total += _nodule(rng, chest, x, y)
    return total + _bones(chest, x, y)


def _nodule(rng: np.random.Generator, chest: Chest, x: Array, y: Array) -> Array:
    """A ball in the part of a lung that neither heart nor mediastinum hides."""
    lung = chest.lungs[rng.integers(2)]
    radius = rng.uniform(1.5, 2.6)
    angle, share = rng.uniform(0, 2 * np.pi), 0.6 * np.sqrt(rng.uniform())
    centre = (
        lung[0] + 0.15 * lung[0] + share * 0.6 * lung[2] * np.cos(angle),
        lung[1] - 0.15 * lung[3] + share * lung[3] * np.sin(angle),
    )
    return (NODULE - LUNG) * 2 * np.sqrt(np.maximum(radius**2 - (x - centre[0]) ** 2 - (y - centre[1]) ** 2, 0))


def _bones(chest: Chest, x: Array, y: Array) -> Array:
    bone = np.where(np.abs(x) < 1.6, 2.2, 0.0)
    width = chest.lungs[1, 0] + chest.lungs[1, 2]
    for rib in range(10):
        top = -11.0 + rib * chest.rib_step
        arc = top + 3.2 * (np.abs(x) / width) ** 2
        bone += np.where(np.abs(x) < width + 0.5, _tube(y - arc, 0.45), 0.0)
    clavicle = -11.5 - 0.12 * np.abs(x)
    return (BONE - SOFT) * (0.5 * bone + _tube(y - clavicle, 0.6))


def _tube(distance: Array, radius: float) -> Array:
    return 2 * np.sqrt(np.maximum(radius**2 - distance**2, 0))


def _ellipsoid(x: Array, y: Array, shape: Array) -> Array:
    """Return the path length of rays along z through an ellipsoid."""
    cx, cy, a, b, c = shape
    return 2 * c * np.sqrt(np.maximum(1 - ((x - cx) / a) ** 2 - ((y - cy) / b) ** 2, 0))


def _expose(integrals: Array, rng: np.random.Generator, photons: float, blur: float) -> Array:
    """Return the picture (28, 28), uint8, of what is left of `photons` photons a ray."""
    counts = rng.poisson(photons * np.exp(-integrals)).astype(np.float64)
    light = gaussian_filter(counts, blur, mode="nearest")
    binned = light.reshape(SIZE, FINE, SIZE, FINE).mean(axis=(1, 3))
    shown = -np.log(np.maximum(binned, 1.0) / photons)
    return np.clip(np.rint(255 * (shown - WINDOW[0]) / (WINDOW[1] - WINDOW[0])), 0, 255).astype(np.uint8)

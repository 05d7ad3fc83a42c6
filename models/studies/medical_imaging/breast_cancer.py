"""The Wisconsin breast cancer set (scikit-learn): 569 real fine-needle aspirates, 30 measures of cell nuclei each.

Every feature is standardised with mean and deviation of the training part, and clipped at ±4 deviations. A third is the
test part, drawn once, the same share of both classes. Labels: 0 malignant, 1 benign.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer

Array = np.ndarray[Any, np.dtype[Any]]

TEST_SHARE, SEED, CLIP = 1 / 3, 7, 4.0


def load() -> tuple[Array, Array, Array, Array]:
    """Return x_train, y_train, x_test, y_test: float64 (n, 30), class numbers."""
    x, y = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(SEED)
    is_test = np.zeros(len(y), dtype=bool)
    for label in (0, 1):
        members = rng.permutation(np.nonzero(y == label)[0])
        is_test[members[: round(TEST_SHARE * len(members))]] = True
    mean, deviation = x[~is_test].mean(axis=0), x[~is_test].std(axis=0)
    scaled = np.clip((x - mean) / deviation, -CLIP, CLIP)
    return scaled[~is_test], y[~is_test], scaled[is_test], y[is_test]

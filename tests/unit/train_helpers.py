"""Small model.yaml files and data for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hwgen.spec import ModelSpec, load_spec

BITS = "quantized_bits(6,0,alpha=1)"

NET: dict[str, Any] = {
    "model": {
        "name": "net",
        "layers": [
            {"QDense": {"name": "fc1", "units": 8}},
            {"QActivation": {"name": "relu1"}},
            {"QDense": {"name": "logits", "units": 3}},
        ],
    },
    "data": {"npz": "data.npz"},
    "train": {"epochs": 4, "float_epochs": 2, "batch_size": 16, "learning_rate": 0.02},
    "precision": {"input": "fixed<8,3>", "weight": BITS, "bias": BITS, "activation": "quantized_relu(6)"},
}


def blobs(count: int = 120, classes: int = 3, features: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return points around one centre a class: easily told apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    centres = np.random.default_rng(99).normal(size=(classes, features)) * 2
    return (centres[y] + rng.normal(size=(count, features)) * 0.3).astype(np.float32), y


def write_blobs(folder: Path, **other: Any) -> Path:
    """Write data.npz with a split of its own; `other` replaces arrays."""
    x, y = blobs()
    arrays = {"x_train": x[:90], "y_train": y[:90], "x_test": x[90:], "y_test": y[90:]} | other
    np.savez(folder / "data.npz", **{key: value for key, value in arrays.items() if value is not None})
    return folder / "data.npz"


def spec_of(folder: Path, *changes: dict[str, Any], base: dict[str, Any] | None = None) -> ModelSpec:
    """Write model.yaml with sections replaced key by key, and load it."""
    value = {section: dict(keys) for section, keys in (NET if base is None else base).items()}
    for change in changes:
        for section, keys in change.items():
            value[section] = value.get(section, {}) | keys if keys is not None else None
            value[section] = {k: v for k, v in value[section].items() if v is not None} if keys is not None else None
    value = {section: keys for section, keys in value.items() if keys is not None}
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    return load_spec(path)

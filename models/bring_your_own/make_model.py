#!/usr/bin/env python3
"""Train a small QKeras network and save it, as somebody who has never heard of hwgen would. Takes seconds.

A functional model with a skip connection. It begins with a QActivation, so that the number format of its input is
in the network itself.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
from qkeras import QActivation, QDense, quantized_bits, quantized_relu
from sklearn.datasets import load_digits

BITS = "quantized_bits(6,0,alpha=1)"


def network() -> keras.Model:
    """64 pixels, two hidden layers of 32 with a skip connection, 10 logits."""

    def dense(units: int, name: str) -> QDense:
        return QDense(units, name=name, kernel_quantizer=BITS, bias_quantizer=BITS)

    pixels = keras.Input((64,), name="pixels")
    # 0, 1/16, .. 1: six bits, one of them before the binary point, one the sign
    x = QActivation(quantized_bits(6, 1, alpha=1), name="grid")(pixels)
    x = skip = QActivation(quantized_relu(6, 1), name="relu1")(dense(32, "fc1")(x))
    x = QActivation(quantized_relu(6, 1), name="relu2")(dense(32, "fc2")(x))
    x = keras.layers.Add(name="skip")([x, skip])
    return keras.Model(pixels, dense(10, "logits")(x), name="digits_net")


def main() -> None:
    """Train on four fifths of scikit-learn's digits; write the network and its data beside this script."""
    keras.utils.set_random_seed(0)
    raw, y = load_digits(return_X_y=True)
    x = raw / 16
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[360:], order[:360]
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.004), loss, metrics=["accuracy"])
    model.fit(x[train], y[train], batch_size=64, epochs=25, verbose=0)
    print(f"test accuracy {model.evaluate(x[test], y[test], verbose=0)[1]:.3f}")
    here = Path(__file__).parent
    model.save(here / "digits_net.keras", include_optimizer=False)
    raw = raw.astype(np.uint8)
    parts = {"x_train": raw[train], "y_train": y[train], "x_test": raw[test], "y_test": y[test]}
    np.savez_compressed(here / "digits_net.npz", **parts)


if __name__ == "__main__":
    main()

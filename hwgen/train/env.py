"""TensorFlow's door: Keras is imported here, quiet, seeded and deterministic."""

from __future__ import annotations

import importlib
import logging
import os
from typing import Any


def import_keras() -> Any:
    """Return the `keras` module, on TensorFlow, without the log lines; QKeras' classes are registered too."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    keras = importlib.import_module("keras")
    importlib.import_module("qkeras")
    mend_qkeras()
    return keras


def mend_qkeras() -> None:
    """Mend what QKeras cannot read back: what a saved model holds is then what was trained.

    ``quantized_relu`` leaves `is_quantized_clip` out; ``QDenseBatchnorm`` adds arguments that it does not take;
    ``QDepthwiseConv2DBatchnorm`` saves its step counter twice, and then finds one variable too many.
    """
    import keras
    import qkeras
    import qkeras.quantizers

    relu, dense = qkeras.quantizers.quantized_relu, qkeras.QDenseBatchnorm
    if getattr(relu.get_config, "mended", False):
        return
    of_relu, of_dense = relu.get_config, dense.get_config

    def relu_config(self: Any) -> dict[str, Any]:
        more = {} if self.is_quantized_clip else {"is_quantized_clip": False}
        return dict(of_relu(self)) | more

    def dense_config(self: Any) -> dict[str, Any]:
        dropped = ("synchronized", "renorm", "renorm_clipping", "renorm_momentum")
        return {key: value for key, value in of_dense(self).items() if key not in dropped}

    def load_depthwise(self: Any, store: Any) -> None:
        kept = [key for key in list(store.keys()) if key != "iteration"]
        keras.layers.Layer.load_own_variables(self, {key: store[key] for key in kept})

    depthwise = qkeras.QDepthwiseConv2DBatchnorm
    depthwise.save_own_variables = keras.layers.Layer.save_own_variables
    depthwise.load_own_variables = load_depthwise
    relu_config.mended = True  # type: ignore[attr-defined]
    relu.get_config, dense.get_config = relu_config, dense_config


def seed_everything(seed: int) -> None:
    """Make what follows repeatable: Python, NumPy, TensorFlow seeds and deterministic kernels."""
    keras = import_keras()
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def qkeras_objects() -> dict[str, Any]:
    """Return QKeras' layers and quantizers by class name, as files of QKeras 0.9 name them."""
    import_keras()
    from qkeras.utils import _add_supported_quantized_objects

    objects: dict[str, Any] = {}
    _add_supported_quantized_objects(objects)
    return objects

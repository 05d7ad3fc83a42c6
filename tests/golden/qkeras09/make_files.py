"""Wrote the model files beside it, under QKeras 0.9.0, TensorFlow 2.15.1 and tensorflow-model-optimization 0.7.5.

Needs an environment of its own:
    pip install tensorflow-cpu==2.15.1 qkeras==0.9.0 tensorflow-model-optimization==0.7.5
    pip install "pyparsing<3.2" "setuptools<80"
"""

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
from qkeras import QActivation, QDense, quantized_relu
from tensorflow.keras.layers import Add, BatchNormalization, Input
from tensorflow.keras.models import Model, Sequential

BITS = "quantized_bits(6,0,alpha=1)"
HALF = tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0, frequency=1)


def wrapper(pruned):
    return (
        (lambda layer: tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=HALF))
        if pruned
        else (lambda x: x)
    )


def chain(pruned):
    w = wrapper(pruned)
    return Sequential(
        [
            Input((8,)),
            w(QDense(6, name="fc1", kernel_quantizer=BITS, bias_quantizer=BITS)),
            QActivation("quantized_relu(6)", name="relu1"),
            w(QDense(4, name="logits", kernel_quantizer=BITS, bias_quantizer=BITS)),
        ]
    )


def branches(pruned):
    """Two dense layers of the same shape beside each other: weights must go to the right one."""
    w = wrapper(pruned)
    x = Input((8,), name="x")
    a = w(QDense(6, name="fc1", kernel_quantizer=BITS, bias_quantizer=BITS))(x)
    a = QActivation("quantized_relu(6)", name="relu1")(a)
    b = w(QDense(6, name="fc2", kernel_quantizer=BITS, use_bias=False))(x)
    b = BatchNormalization(name="bn")(b)
    c = QActivation(quantized_relu(6, 2), name="relu2")(Add(name="add")([a, b]))
    return Model(x, w(QDense(4, name="logits", kernel_quantizer=BITS, bias_quantizer=BITS))(c))


def main():
    tf.keras.utils.set_random_seed(3)
    x = np.random.default_rng(0).normal(size=(64, 8)).round(1).astype("float32")
    outputs = {"x": x}
    for kind, make in (("chain", chain), ("branches", branches)):
        for pruned in (False, True):
            model = make(pruned)
            model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            steps = [tfmot.sparsity.keras.UpdatePruningStep()] if pruned else []
            model.fit(x, np.arange(64) % 4, epochs=3, verbose=0, callbacks=steps)
            name = f"{kind}_{'pruned' if pruned else 'plain'}"
            model.save(f"{name}.h5", include_optimizer=False)
            model.save(f"{name}.keras")
            outputs[name] = model.predict(x, verbose=0)
    np.savez_compressed("outputs.npz", **outputs)


main()

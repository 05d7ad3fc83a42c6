"""Compression: the techniques of `compress`, one after the other, each with fine-tuning.

`compress_model` is read first: a linear function over the steps that model.yaml asks for, in the order of
`spec_compress.STEPS`.
"""

from hwgen.train.compress.steps import CompressResult, compress_model, compressed_before

__all__ = ["CompressResult", "compress_model", "compressed_before"]

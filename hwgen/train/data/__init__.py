"""Data sets: named ones, a user's file, a user's loader. No TensorFlow.

`load_data` is the one door. What it returns is scaled, checked and shaped for the model, so that every later stage
(training, vectors for the simulation, accuracy of the integers) sees the same numbers.
"""

from __future__ import annotations

from hwgen.train.data.load import load_data, split_indices
from hwgen.train.data.types import Array, DataSet, Raw, Standardization

__all__ = ["Array", "DataSet", "Raw", "Standardization", "load_data", "split_indices"]

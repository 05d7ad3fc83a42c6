"""Samples from elsewhere (`verify.robustness.shifted`), prepared as the data set was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hwgen.errors import DataError
from hwgen.spec_robustness import is_reference
from hwgen.train.data.checks import check_raw, clean_labels
from hwgen.train.data.files import read_file
from hwgen.train.data.load import make_arrays, run_loader, scaled
from hwgen.train.data.shapes import shape_samples
from hwgen.train.data.types import Arrays, DataSet, as_tuple, map_arrays

if TYPE_CHECKING:
    from hwgen.spec import ModelSpec


def load_shifted(spec: ModelSpec, data: DataSet, source: str) -> DataSet:
    """Return `data` with the test part of `source` in the place of its own; a source without a split is all used.

    Parameters
    ----------
    data : what the network was trained on: gives the standardisation, the shape and the classes
    source : an `.npz` file relative to the model.yaml, or ``package.module:function``

    Raises
    ------
    DataError, ErrorList
        If the samples cannot be read, or do not fit the data set.
    """
    assert spec.data is not None
    key = "verify.robustness.shifted"
    where = f"{spec.line_of(key)}: {key}"
    raw = run_loader(spec, source, key) if is_reference(source) else read_file(spec.base_dir / source, where)
    make_arrays(raw)
    check_raw(raw, where)
    x, y = (raw.x_train, raw.y_train) if raw.x_test is None else (raw.x_test, raw.y_test)
    assert y is not None
    if data.standardization is not None:
        x = map_arrays(data.standardization.apply, x)
    x = shape_samples(scaled(x, spec.data.scale, spec.data.offset), [a.shape[1:] for a in data.xs_train], where)
    return replace(data, x_test=x, y_test=_targets(data, y, where))


def _targets(data: DataSet, y: Arrays, where: str) -> Arrays:
    """Return the targets in the form of the data set's own; refuse classes that it does not have."""
    try:
        targets, _, _ = clean_labels(y, data.classes)
    except DataError as error:
        raise DataError(error.what, where=where, found=error.found, expected=error.expected) from error
    for new, known in zip(as_tuple(targets), as_tuple(data.y_train), strict=True):
        if new.shape[1:] != known.shape[1:]:
            found, expected = f"targets of shape {new.shape[1:]}", f"{known.shape[1:]}"
            raise DataError(
                "the shifted targets do not fit the data set's", where=where, found=found, expected=expected
            )
        if np.issubdtype(known.dtype, np.integer):
            top = int(known.max())
            if not np.issubdtype(new.dtype, np.integer) or int(new.min()) < 0 or int(new.max()) > top:
                found = f"labels {new.min()}..{new.max()}"
                raise DataError(
                    "the shifted labels are not the data set's", where=where, found=found, expected=f"0..{top}"
                )
    own = as_tuple(data.y_train)
    cast = tuple(new.astype(known.dtype) for new, known in zip(as_tuple(targets), own, strict=True))
    return cast if isinstance(targets, tuple) else cast[0]

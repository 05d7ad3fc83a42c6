"""Robustness: the metric on disturbed and on shifted test samples, before and after compression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hwgen.errors import DataError, SpecError
from hwgen.spec_robustness import DEFAULTS, PICTURES
from hwgen.train.data import DataSet
from hwgen.train.data.shifted import load_shifted
from hwgen.train.data.types import map_arrays
from hwgen.train.disturb import Reference, disturb, is_picture
from hwgen.train.loop import Progress, evaluate, silent
from hwgen.train.outputs import judged_by

if TYPE_CHECKING:
    import keras

    from hwgen.spec import ModelSpec

Variant = tuple[str, Any, DataSet]
"""Name and severity of a disturbance, and the data set whose test part suffered it."""


def measure_robustness(
    spec: ModelSpec, data: DataSet, before: keras.Model, after: keras.Model | None, progress: Progress = silent
) -> dict[str, Any]:
    """Return the content of reports/robustness.json.

    Parameters
    ----------
    before, after : the trained network, and the compressed one (None: nothing was compressed)
        Both get samples as the host sends them: rounded to `precision.input`.

    Returns
    -------
    dict
        ``{"version", "metric", "seed", "frames", "clean", "rows"}``; ``clean`` and every row have ``before``, and
        ``after`` where there is a compressed network.

    Raises
    ------
    SpecError, DataError
        If a disturbance does not fit the data.
    """
    plan = spec.verify.robustness
    assert plan is not None
    check_robustness(spec, data)
    models = {"before": before} | ({} if after is None else {"after": after})

    def scores(variant: DataSet) -> dict[str, float]:
        return {key: evaluate(spec, variant, model) for key, model in models.items()}

    used = _limited(data, plan.frames)
    clean, rows = scores(used), []
    for name, severity, variant in _variants(spec, data, used):
        progress(f"robustness: {name} {severity}", None)
        rows.append({"name": name, "severity": severity, **scores(variant)})
    return {
        "version": 1,
        "metric": judged_by(spec, data),
        "seed": plan.seed,
        "frames": len(used.xs_test[0]),
        "clean": clean,
        "rows": rows,
    }


def check_robustness(spec: ModelSpec, data: DataSet) -> None:
    """Refuse what does not fit the data, before anything is trained; reads the shifted samples.

    Raises
    ------
    SpecError, DataError
    """
    plan = spec.verify.robustness
    if plan is None:
        return
    shapes = [x.shape[1:] for x in data.xs_test]
    for name in plan.asked:
        if name in PICTURES and not any(map(is_picture, shapes)):
            key = f"verify.robustness.{name}"
            found = ", ".join("×".join(map(str, shape)) for shape in shapes)
            raise SpecError(
                f"{name} is a disturbance of pictures, and no input is one",
                where=f"{spec.line_of(key)}: {key}",
                found=f"samples of {found}",
                expected="rows × columns × channels; features have noise, missing, sensor_bits",
            )
    if plan.shifted is not None:
        load_shifted(spec, data, plan.shifted)


def _variants(spec: ModelSpec, data: DataSet, used: DataSet) -> Iterator[Variant]:
    plan = spec.verify.robustness
    assert plan is not None
    pictures = any(is_picture(x.shape[1:]) for x in used.xs_test)
    fitting = {name: values for name, values in DEFAULTS.items() if pictures or name not in PICTURES}
    references = [Reference.of(x, plan.missing_value) for x in data.xs_train]
    for name, severities in (plan.asked or fitting).items():
        for severity in severities:
            if name == "shifted":
                yield name, severity, _limited(load_shifted(spec, data, str(severity)), plan.frames)
                continue
            xs = tuple(
                disturb(name, x, reference, severity, plan.seed)
                if is_picture(x.shape[1:]) or name not in PICTURES
                else x
                for x, reference in zip(used.xs_test, references, strict=True)
            )
            yield name, severity, replace(used, x_test=xs if isinstance(used.x_test, tuple) else xs[0])


def _limited(data: DataSet, frames: int) -> DataSet:
    """Return the data with at most `frames` test samples: the first ones, which are in random order or as given."""
    if len(data.xs_test[0]) <= frames:
        return data
    if frames < 1:
        raise DataError("no test samples are left", where="verify.robustness.frames", found=str(frames), expected="≥ 1")
    return replace(data, **{k: map_arrays(lambda a: a[:frames], getattr(data, k)) for k in ("x_test", "y_test")})

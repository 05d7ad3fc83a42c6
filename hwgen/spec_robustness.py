"""The `verify.robustness` section of model.yaml: what a network's test samples are disturbed by, and how strongly."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from hwgen.spec_base import Count, Section

Share = Annotated[float, Field(gt=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]

Disturbance = Literal[
    "noise", "missing", "sensor_bits", "brightness", "contrast", "blur", "occlusion", "dead_pixels", "shifted"
]
DISTURBANCES: tuple[Disturbance, ...] = get_args(Disturbance)
"""Every disturbance, in the order of the report."""

PICTURES: tuple[Disturbance, ...] = ("brightness", "contrast", "blur", "occlusion", "dead_pixels")
"""Disturbances that only pictures know."""


def is_reference(source: str) -> bool:
    """Return whether `shifted` names a function (``package.module:function``), not a file."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", source) is not None


class RobustnessSection(Section):
    """A list of severities a disturbance; without any (``robustness: {}``) all that fit the data, at `DEFAULTS`."""

    noise: list[Share] | None = Field(
        default=None, min_length=1, description="deviation of Gaussian noise, as a share of the inputs' range"
    )
    missing: list[Share] | None = Field(default=None, min_length=1, description="share of the input values lost")
    missing_value: Literal["mean", "zero"] = Field(
        default="mean", description="what stands in a lost value's place: the mean of the training part, or 0"
    )
    sensor_bits: list[Annotated[int, Field(ge=1, le=15)]] | None = Field(
        default=None, min_length=1, description="bits of a coarser sensor over the inputs' range"
    )
    brightness: list[Annotated[float, Field(ge=-1, le=1)]] | None = Field(
        default=None, min_length=1, description="added, as a share of the range"
    )
    contrast: list[Annotated[float, Field(gt=0, le=4)]] | None = Field(
        default=None, min_length=1, description="factor of the distance from a picture's mean"
    )
    blur: list[Annotated[float, Field(gt=0, le=10)]] | None = Field(
        default=None, min_length=1, description="deviation of a Gaussian blur in pixels"
    )
    occlusion: list[Part] | None = Field(
        default=None, min_length=1, description="share of the picture hidden by a square"
    )
    dead_pixels: list[Part] | None = Field(
        default=None, min_length=1, description="share of the pixels stuck at an end of the range, the same in all"
    )
    shifted: str | None = Field(
        default=None,
        description="samples from elsewhere: an .npz beside the model.yaml, or package.module:function; its test part",
    )
    frames: Count = Field(default=2000, description="test samples used at most")
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def asked(self) -> dict[Disturbance, tuple[Any, ...]]:
        """The disturbances asked for, with their severities (of `shifted`: its source)."""
        found: dict[Disturbance, tuple[Any, ...]] = {}
        for name in DISTURBANCES:
            value = getattr(self, name)
            if value is not None:
                found[name] = (value,) if isinstance(value, str) else tuple(value)
        return found


DEFAULTS: dict[Disturbance, tuple[float, ...]] = {
    "noise": (0.05, 0.1, 0.2),
    "missing": (0.05, 0.1, 0.2),
    "sensor_bits": (6, 4, 2),
    "brightness": (-0.2, 0.2),
    "contrast": (0.5, 0.75),
    "blur": (0.5, 1.0),
    "occlusion": (0.05, 0.1),
    "dead_pixels": (0.02, 0.05),
}
"""Severities where a model.yaml names none."""

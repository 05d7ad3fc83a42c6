"""What every section of model.yaml is made of: the base class and the types of values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from hwgen.errors import NumericsError
from hwgen.fixed import FixedPoint


class Section(BaseModel):
    """Base of the sections: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _fixed_text(text: str) -> str:
    try:
        FixedPoint.parse(text)
    except NumericsError as error:
        raise PydanticCustomError("hwgen", "not a fixed-point type", {"expected": error.expected}) from error
    return text


def _auto_or_fixed(text: str) -> str:
    return text if text == "auto" else _fixed_text(text)


def word_or_count(*words: str, least: int = 1) -> BeforeValidator:
    """Accept one of `words` or an integer of at least `least`."""

    def check(value: Any) -> Any:
        if value in words or (isinstance(value, int) and not isinstance(value, bool) and value >= least):
            return value
        raise PydanticCustomError(
            "hwgen", "wrong value", {"expected": f"{', '.join(words)}, or a whole number ≥ {least}"}
        )

    return BeforeValidator(check)


FixedText = Annotated[str, AfterValidator(_fixed_text), Field(description="a type as fixed<8,3> or ap_ufixed<8,0>")]
AutoOrFixed = Annotated[str, AfterValidator(_auto_or_fixed), Field(description="auto (proved), or a fixed-point type")]
Function = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="package.module:function")]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Shape = Annotated[list[Count], Field(min_length=1)]

"""What documents are made of: numbers and texts that can be shown, and tables that stand in several places."""

from __future__ import annotations

import enum
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from edgett.forms import catalogue, spec
from edgett.schema import SCHEMA
from edgett.search.constraints import CONSTRAINTS

_NATURAL = {"type": "integer", "minimum": 0}
# What is refused on reading for its sheer size is nothing that a reader of the printed schema has to know.
Text = Annotated[str, Field(max_length=100_000), WithJsonSchema({"type": "string"})]
Count = Annotated[int, Field(ge=0, lt=2**63), WithJsonSchema(_NATURAL)]
Size = Annotated[int, Field(ge=1, lt=2**63), WithJsonSchema({"type": "integer", "minimum": 1})]
Many = Annotated[int, Field(ge=0, lt=10**1000), WithJsonSchema(_NATURAL)]
"""Solutions are counted exactly, however many there are."""
Real = Annotated[float, Field(ge=-1e60, le=1e60, allow_inf_nan=False), WithJsonSchema({"type": "number"})]
Positive = Annotated[
    float,
    Field(gt=1e-60, le=1e60, allow_inf_nan=False),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0}),
]
Span = Annotated[float, Field(ge=0, le=1e12), WithJsonSchema({"type": "number", "minimum": 0})]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[int, Field(ge=-1, lt=2**63), WithJsonSchema({"type": "integer", "minimum": -1})]
"""Of a solution; -1 is the dense model."""
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
File = Annotated[str, Field(pattern=r"^artifacts/[A-Za-z0-9_-]+\.(keras|tflite|onnx)$")]
"""Of a run's own files: nothing that a document names lies elsewhere."""
if TYPE_CHECKING:
    LimitName = str
else:
    LimitName = Literal[tuple(row.name for row in CONSTRAINTS)]

_T = TypeVar("_T")
_MAY_LACK = object()
Rare = Annotated[_T, _MAY_LACK]
"""A key that is not always written. All others are, though some may be missing in what is read."""
ABSENT: Any = None
"""What stands for a key that is missing, where one that is there is never null."""


class Part(BaseModel):
    """A table. A key that is not listed is refused: what renders a document would have it unchecked."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Of what is written: no key is missing but a rare one, and no other is there; keys need no titles."""
        made = handler(core_schema)
        table = handler.resolve_ref_schema(made)
        table.pop("title", None)
        for value in table["properties"].values():
            value.pop("title", None)
            value.pop("default", None)
            if "patternProperties" in value:
                value["additionalProperties"] = False
        fields = cls.model_fields.items()
        table["required"] = [field.alias or name for name, field in fields if _MAY_LACK not in field.metadata]
        return made


class Document(Part):
    """A table that stands by itself; `record.read` has looked at its schema."""

    schema_: Annotated[Any, WithJsonSchema({"const": SCHEMA})] = Field(
        default=None, alias="schema", description="the version of what is described here"
    )


class Problem(Part):
    """Why there is nothing, or not what was asked for."""

    code: Literal[1, 2, 3, 4, 5, 6, 130] = Field(
        description="the exit code: 2 wrong usage, 3 bad input, 4 nothing meets the constraints, 5 the cross-check"
        " failed, 6 a tool or the file system failed, 130 interrupted, 1 a bug in edgett"
    )
    kind: Text = Field(description="the class of the error")
    message: Text = Field(description="what is wrong, with the value and the limit that it broke")
    cure: Text = Field(description="what to do about it; may be empty")


class Failure(Document):
    """What every command prints with --json where it fails, but for one that has a result all the same."""

    error: Problem = Field(description="what went wrong")


class HeldLayer(Part):
    """A layer whose weight is rebuilt."""

    name: str = Field(description="the layer's name in the model")
    weights: Count = Field(description="numbers that are rebuilt")
    stored: Count = Field(description="numbers of the factors")
    flash_bytes: Count = Field(description="of factors, of how they are multiplied, and of how columns are rounded")
    ram_bytes: Count = Field(description="of the weight, and of vectors between factors, while the layer runs")
    macs: Count = Field(description="multiply-accumulates that rebuild it, in each inference")


class Pair(Part):
    """A figure of a file."""

    predicted: Count = Field(description="before it was written")
    found: Count = Field(description="read back from its bytes")


class HeldMemory(Part):
    """What a model in C takes whose weights are rebuilt from int8 factors, layer by layer."""

    flash_bytes: Pair = Field(description="of constants")
    ram_bytes: Pair = Field(description="of tensors and of the weight of a layer at once, inputs and outputs included")
    layers: list[HeldLayer] = Field(description="those with factors")


class ScoreDocument(Part):
    """A metric of an output."""

    output: Text = Field(description="the output's name")
    metric: Text = Field(description="the metric's name")
    value: Real | None = Field(description="its value; null: it is no number")
    decides: bool = Field(default=True, description="whether drops and picks go by it")


def told(scores: list[ScoreDocument]) -> list[tuple[str, str]]:
    """What figures are of: outputs and metrics."""
    return [(score.output, score.metric) for score in scores]


def one_of(kind: Any) -> Any:
    return Literal[tuple(item.value for item in kind)]


def _is_one(given: dict[str, Any]) -> dict[str, Any]:
    catalogue.read(given)
    return given


class _Described:
    """What the printed schema says of specs: one of the forms that there are, with its fields."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"oneOf": [_described(form.spec) for form in catalogue.FORMS]}


def _described(kind: type[spec.Spec]) -> JsonSchemaValue:
    return _object(kind, {"form": {"const": kind.form}})


def _object(kind: Any, more: dict[str, Any]) -> JsonSchemaValue:
    hints = get_type_hints(kind)
    sizes = more | {each.name: _field(hints[each.name]) for each in fields(kind)}
    return {
        "type": "object",
        "description": (kind.__doc__ or "").partition("\n")[0],
        "properties": sizes,
        "required": [*sizes],
        "additionalProperties": False,
    }


def _field(kind: Any) -> JsonSchemaValue:
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        exact = {} if kinds[-1] is Ellipsis else {"minItems": len(kinds), "maxItems": len(kinds)}
        return {"type": "array", "items": _field(kinds[0]), **exact}
    if is_dataclass(kind):
        return _object(kind, {})
    if issubclass(kind, enum.Enum):
        return {"enum": [item.value for item in kind]}
    return dict(_NATURAL)


Spec = Annotated[dict[str, Any], AfterValidator(_is_one), _Described()]
"""The form of a layer by its name, and its sizes and ranks."""


class CostDocument(Part):
    """What a layer costs in one form, in exact numbers."""

    params: Count = Field(description="numbers stored, biases included")
    flops: Count = Field(description="of one sample: a multiplication is one, and an addition is one")
    peak_elements: Count = Field(description="numbers held at once")
    moved_elements: Count = Field(description="numbers copied by transposes")


class Costs(CostDocument):
    macs: Count = Field(description="multiplications that an addition follows")


class Error(Part):
    """How far a form is from the trained weight, relative, in the Frobenius norm."""

    low: Real = Field(description="no numbers in the form are nearer")
    estimate: Real = Field(description="what it is taken for")
    high: Real = Field(description="its decomposition is no farther")


class RatioRow(Part):
    """A time over that of the dense model, or of the first that was measured."""

    value: Positive = Field(description="the ratio of the medians")
    low: Positive = Field(description="the low end of its confidence interval")
    high: Positive = Field(description="the high end")

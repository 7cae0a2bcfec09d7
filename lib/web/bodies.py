"""JSON bodies: a strict model each, every bad field named at once."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from lib.errors import FieldError, InvalidRequestError, MalformedRequestError, Refusal


class Body(BaseModel):
    """Base of every request body: unknown fields are refused, types are not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    refused_as: ClassVar[Mapping[str, type[Refusal]]] = {}
    """Error code -> the refusal to use when all that is wrong with the body has that code."""


class NoBody(Body):
    """`{}` or nothing."""


Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""A string PostgreSQL can keep. A constraint, not a validator: further constraints join it, whereas those
put on top of a validator would look at the string before it is stripped."""

Words = Annotated[
    Text,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    Field(json_schema_extra={"pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"}),
]
"""A line that people wrote, without what surrounds it. Spaces alone are none: the description says so too."""


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Behind an int's bounds: 7.0 is a whole number to JSON, and to the description."""

B = TypeVar("B", bound=Body)

# An answer must not be many times as long as the question.
_MOST_ERRORS = 50
_LONGEST_FIELD = 100

_CODES = {"missing": "required", "extra_forbidden": "unknown_field"}


def parse(model: type[B], raw: bytes, rules: Mapping[str, object]) -> B:
    """The body as its model.

    Args:
        rules: settings that the model's validators ask for, as pydantic's validation context.

    Raises:
        MalformedRequestError: not JSON, or not a JSON object.
        InvalidRequestError: with every bad field, up to 50. What was sent is not repeated: it may be a
            secret. Names of fields are, up to 100 characters of each.
    """
    try:
        return model.model_validate_json(raw or b"{}", context=dict(rules))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(not item["loc"] and item["type"] in ("json_invalid", "model_type") for item in found):
        raise MalformedRequestError("The body must be a JSON object")
    errors = [
        FieldError(
            ".".join(str(part) for part in item["loc"])[:_LONGEST_FIELD],
            _CODES.get(item["type"], item["type"]),
            item["msg"],
        )
        for item in found
    ]
    codes = {error.code for error in errors}
    refusal = model.refused_as.get(codes.pop()) if len(codes) == 1 else None
    raise (refusal or InvalidRequestError)(errors=errors[:_MOST_ERRORS])

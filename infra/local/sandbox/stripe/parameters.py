"""What a request may carry, taken from the parameter types of the installed Stripe library.

The library is generated from Stripe's own description of the pinned API version, so its types say exactly which
parameters each call takes, which are required and what they hold. One validator reads them; a route names its
type and which parameters the sandbox acts upon.
"""

import re
import types
import typing
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, get_args, get_origin

import typing_extensions
from stripe import RequestOptions
from stripe._stripe_object import UntypedStripeObject

from infra.local.sandbox.stripe.errors import Refusal

#: A request's parameters before they are checked: text at the leaves, lists still keyed by their indexes.
Form = dict[str, Any]

_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_DEEPEST = 8
_LONGEST = 5000


def decode(pairs: Iterable[tuple[str, str]]) -> Form:
    """Nest ``a[b][0]=c`` into ``{"a": {"b": {"0": "c"}}}``; ``a[]=x`` counts its own indexes."""
    form: Form = {}
    for key, value in pairs:
        match = _KEY.match(key)
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])] if match else []
        if not path or len(path) > _DEEPEST:
            raise Refusal(f"Invalid request: could not parse the parameter {key}", param=key)
        place = form
        for step in path[:-1]:
            place = place.setdefault(step or str(len(place)), {})
            if not isinstance(place, dict):
                raise Refusal(f"Invalid request: {key} is given both a value and parts", param=key)
        place[path[-1] or str(len(place))] = value
    return form


def check(form: Form, accepted: Any, acted_upon: frozenset[str]) -> dict[str, Any]:
    """The parameters with their types, or a refusal as Stripe words it.

    Args:
        form: From :func:`decode`.
        accepted: The library's TypedDict for the call.
        acted_upon: Those of its names that the sandbox gives effect to. Others are refused, since
            accepting them without effect would hide a mistake.
    """
    hints = _fields(accepted)
    for name in form:
        if name in hints and name not in acted_upon:
            raise Refusal(f"The sandbox does not model the parameter: {name} (Stripe knows it).", param=name)
    return _object(form, accepted, "")


@cache
def _fields(accepted: Any) -> Mapping[str, Any]:
    own = {n: hint for n, hint in accepted.__annotations__.items() if n not in RequestOptions.__annotations__}
    # The types are forward references; a class of the same module lets typing resolve them without the
    # request options, which mention names that exist for type checkers only.
    holder = type("Fields", (), {"__annotations__": own, "__module__": accepted.__module__})
    return typing_extensions.get_type_hints(holder)


def _object(form: Form, accepted: Any, path: str) -> dict[str, Any]:
    fields = _fields(accepted)
    for name in form:
        if name not in fields:
            param = _below(path, name)
            raise Refusal(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)
    for name in sorted(accepted.__required_keys__ & set(fields)):
        if name not in form:
            param = _below(path, name)
            raise Refusal(f"Missing required param: {param}.", code="parameter_missing", param=param)
    return {name: _value(value, fields[name], _below(path, name)) for name, value in form.items()}


def _below(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def _value(value: Any, hint: Any, path: str) -> Any:
    options = _options(hint)
    if isinstance(value, dict):
        return _nested(value, options, path)
    literals = [text for option in options if get_origin(option) is Literal for text in get_args(option)]
    if value in literals:
        return value
    if value == "":
        raise Refusal(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter;"
            f" however '{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty"
            " value.",
            code="parameter_invalid_empty",
            param=path,
        )
    choices = [text for text in literals if text != ""]
    # The library widens its enumerations with str, so that it can read newer values; Stripe does not take any.
    plain = [o for o in options if o in (int, bool, float, Decimal) or (o is str and not choices)]
    if plain:
        return _scalar(value, plain[0], path)
    if choices:
        raise Refusal(
            f"Invalid {path}: must be one of {', '.join(choices[:-1])} or {choices[-1]}", param=path
        )
    wanted = "array" if any(get_origin(o) is list for o in options) else "object"
    raise Refusal(f"Invalid {wanted}", code=None, param=path)


def _options(hint: Any) -> list[Any]:
    if get_origin(hint) in (typing.Union, types.UnionType):
        return [option for part in get_args(hint) for option in _options(part)]
    return [hint]


def _nested(value: Form, options: list[Any], path: str) -> Any:
    for option in options:
        if typing_extensions.is_typeddict(option):
            return _object(value, option, path)
        if get_origin(option) is list:
            (element,) = get_args(option)
            if sorted(value) != sorted(str(i) for i in range(len(value))):
                raise Refusal("Invalid array", param=path)
            return [_value(value[str(i)], element, f"{path}[{i}]") for i in range(len(value))]
        if get_origin(option) in (dict, UntypedStripeObject):
            return _labels(value, path)
    raise Refusal(f"Invalid string: {path} is not an object", param=path)


def _labels(value: Form, path: str) -> dict[str, str]:
    """Metadata: text under at most 50 keys. An empty text unsets its key."""
    if len(value) > 50:
        raise Refusal("Metadata can have at most 50 keys.", param=path)
    for key, text in value.items():
        if not isinstance(text, str):
            raise Refusal(f"Metadata values must be strings, but {key} is not.", param=path)
        if len(key) > 40:
            raise Refusal(
                f"Metadata keys must be 40 characters or less: {key} is {len(key)} long.",
                param=f"{path}[{key}]",
            )
        if len(text) > 500:
            raise Refusal(
                f"Metadata values can have up to 500 characters, but you passed in a value that is {len(text)}"
                f" characters. Invalid value: {text[:40]}…",
                param=f"{path}[{key}]",
            )
    return dict(value)


def _scalar(value: str, kind: Any, path: str) -> Any:
    if kind is bool:
        if value not in ("true", "false"):
            raise Refusal(f"Invalid boolean: {value}", param=path)
        return value == "true"
    if kind is int:
        if not re.fullmatch(r"-?\d{1,15}", value):
            raise Refusal(f"Invalid integer: {value}", code="parameter_invalid_integer", param=path)
        return int(value)
    if kind in (float, Decimal):
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise Refusal(f"Invalid decimal: {value}", param=path) from None
        if not number.is_finite():
            raise Refusal(f"Invalid decimal: {value}", param=path)
        return float(number) if kind is float else str(number)
    if len(value) > _LONGEST:
        raise Refusal(
            f"Invalid string: {value[:40]}…; must be at most {_LONGEST} characters",
            code="parameter_invalid_string",
            param=path,
        )
    return value

"""Bedrock's runtime as botocore's own service model describes it: holds requests and answers to that."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

import orjson
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator


@cache
def operation(name: str) -> OperationModel:
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2")).operation_model(name)


def assert_is_converse(path: str, body: bytes, model: str) -> None:
    """Fails unless an SDK of AWS's would send the same for `model`: the same members, types, lengths and path."""
    asked = operation("Converse")
    document = orjson.loads(body)
    parameters = _parsed(asked.input_shape, document, "") | {"modelId": model}
    report = ParamValidator().validate(parameters, asked.input_shape)
    assert not report.has_errors(), report.generate_report()
    sent = create_serializer("rest-json").serialize_to_request(parameters, asked)
    assert sent["url_path"] == path
    assert orjson.loads(sent["body"]) == document


def assert_is_answer(document: dict[str, Any]) -> None:
    """Fails unless `document` is what Converse may answer."""
    shape = operation("Converse").output_shape
    report = ParamValidator().validate(_parsed(shape, document, ""), shape)
    assert not report.has_errors(), report.generate_report()


def _parsed(shape: Any, value: Any, path: str) -> Any:
    """`value` with bytes instead of base64. Fails at members and enumerated values that the model does not know, of
    which botocore's validator says nothing."""
    match shape.type_name:
        case "structure" if not shape.is_document_type:
            assert value.keys() <= shape.members.keys(), f"{path}: {value.keys() - shape.members.keys()}"
            return {name: _parsed(shape.members[name], each, f"{path}.{name}") for name, each in value.items()}
        case "list":
            return [_parsed(shape.member, each, f"{path}[]") for each in value]
        case "blob":
            return base64.b64decode(value, validate=True)
        case "string":
            assert not shape.enum or value in shape.enum, f"{path}: {value!r}"
    return value

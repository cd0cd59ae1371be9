"""The OpenAPI document of every route, from the routes and what each surface says of its operations.

`make openapi` writes it to docs/ and into the deployed package, so no function builds it.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import TypeAdapter

from batchyard.core.json_types import JsonObject
from batchyard.surfaces import registry
from batchyard.surfaces.operations import OperationDoc
from batchyard.surfaces.route import Route
from batchyard.surfaces.surface import Surface

_REFERENCE = "#/components/schemas/{model}"
_REQUEST_ID = {
    "x-request-id": {"description": "Names this request in the logs.", "schema": {"type": "string"}},
}
Schema = JsonObject


def document(version: str) -> Schema:
    """The whole document. The same code gives the same document, so it can be compared."""
    schemas: Schema = {}
    errors: Schema = {}
    paths: dict[str, Schema] = {}
    ids: set[str] = set()
    for route in registry.routes():
        if route.header_prefix is not None:  # the document has one operation per path: that of requests without
            continue
        surface = registry.surface(route.surface)
        errors[_error_name(surface)] = _error(surface, schemas)
        operations = paths.setdefault(route.path.replace("+}", "}"), {})
        operation, method = _operation(route, surface, schemas, ids), route.method.lower()
        operations[method] = _either(operations[method], operation, errors) if method in operations else operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Batchyard",
            "version": version,
            "description": "The LLM batch router in your own AWS account. Drop-in for the OpenAI Batch API.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"header_key": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": errors,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "header_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _operation(route: Route, surface: Surface, schemas: Schema, ids: set[str]) -> Schema:
    """`ids`: the operation ids that other routes have taken."""
    doc = surface.operation(route.operation).doc
    operation_id = f"{surface.name}_{route.operation}"
    if operation_id in ids:
        operation_id += "_" + re.sub(r"\W+", "_", route.path).strip("_")
    ids.add(operation_id)
    operation: Schema = {
        "operationId": operation_id,
        "summary": doc.summary,
        "tags": [surface.name],
        "responses": _responses(doc, surface, schemas),
    }
    if parameters := _parameters(route, doc):
        operation["parameters"] = parameters
    content: Schema = {}
    if doc.request is not None:
        content["application/json"] = {"schema": _schema(doc.request, "validation", schemas)}
    if doc.form is not None:
        content["multipart/form-data"] = {"schema": doc.form}
    if content:
        operation["requestBody"] = {"required": _needs_body(doc), "content": content}
    if route.public:
        operation["security"] = []
    return operation


def _either(one: Schema, other: Schema, errors: Schema) -> Schema:
    """Two dialects' operations on one path: a request is in the one form or in the other, and so is its reply."""
    merged = one | {"tags": [*one["tags"], *other["tags"]], "summary": f"{one['summary']}. Or: {other['summary']}"}
    known = {(each["in"], each["name"]) for each in one.get("parameters", ())}
    others = [each for each in other.get("parameters", ()) if (each["in"], each["name"]) not in known]
    if parameters := [*one.get("parameters", ()), *others]:
        merged["parameters"] = parameters
    if "requestBody" in one and "requestBody" in other:
        content = _either_content(one["requestBody"]["content"], other["requestBody"]["content"])
        merged["requestBody"] = {"required": True, "content": content}
    merged["responses"] = dict(one["responses"])
    for status, response in other["responses"].items():
        known_response = _resolved(one["responses"].get(status, {}), errors)
        response = _resolved(response, errors)
        content = _either_content(known_response.get("content", {}), response.get("content", {}))
        merged["responses"][status] = response | known_response | {"content": content}
    return merged


def _resolved(response: Schema, errors: Schema) -> Schema:
    """The response itself, if it is a reference to that of errors."""
    reference = response.get("$ref")
    found: Schema = errors[reference.rpartition("/")[2]] if reference else response
    return found


def _either_content(one: Schema, other: Schema) -> Schema:
    content = dict(one)
    for kind, form in other.items():
        schemas = [*_alternatives(content.get(kind, {})), *_alternatives(form)]
        distinct = [schema for number, schema in enumerate(schemas) if schema not in schemas[:number]]
        content[kind] = {"schema": {"anyOf": distinct} if len(distinct) > 1 else distinct[0]} if distinct else {}
    return content


def _alternatives(form: Schema) -> list[Schema]:
    schema = form.get("schema")
    if schema is None:
        return []
    alternatives: list[Schema] = schema.get("anyOf", [schema]) if set(schema) == {"anyOf"} else [schema]
    return alternatives


def _needs_body(doc: OperationDoc) -> bool:
    """Whether a request must have a body. It need not if every member may be left out."""
    if doc.request is None:
        return True
    return bool({"required", "anyOf"} & TypeAdapter(doc.request).json_schema(mode="validation").keys())


def _parameters(route: Route, doc: OperationDoc) -> list[Schema]:
    names = re.findall(r"\{(\w+)\+?\}", route.path)
    found = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    found += [
        {"name": name, "in": "query", "allowEmptyValue": True, "schema": schema}
        for name, schema in (doc.query or {}).items()
    ]
    found += [
        {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
        for name, description in (doc.headers or {}).items()
    ]
    return found


def _responses(doc: OperationDoc, surface: Surface, schemas: Schema) -> Schema:
    content: Schema
    responses: Schema = {}
    if doc.redirect:
        location = {"location": {"schema": {"type": "string"}}}
        responses["302"] = {"description": "The bytes are there.", "headers": _REQUEST_ID | location}
    if doc.content_types:
        content = {kind: {} for kind in doc.content_types}
    else:
        schema = _schema(doc.reply, "serialization", schemas) if doc.reply is not None else {"type": "object"}
        content = {"application/json": {"schema": schema}}
    responses[str(doc.status)] = {"description": "OK", "headers": _REQUEST_ID, "content": content}
    responses["4XX"] = responses["5XX"] = {"$ref": f"#/components/responses/{_error_name(surface)}"}
    return dict(sorted(responses.items()))


def _error_name(surface: Surface) -> str:
    return f"{surface.name}_error"


def _error(surface: Surface, schemas: Schema) -> Schema:
    content = {"application/json": {"schema": _schema(surface.rules.error_shape, "serialization", schemas)}}
    return {"description": "What is wrong, and what to do about it.", "headers": _REQUEST_ID, "content": content}


def _schema(kind: Any, mode: Literal["validation", "serialization"], schemas: Schema) -> Schema:
    """A reference to `kind`'s schema, which is put into `schemas` with all it refers to."""
    schema = TypeAdapter(kind).json_schema(ref_template=_REFERENCE, mode=mode)
    for name, nested in schema.pop("$defs", {}).items():
        _put(name, nested, schemas)
    if "$ref" not in schema:
        _put(kind.__name__, schema, schemas)
    return {"$ref": _REFERENCE.format(model=kind.__name__)}


def _put(name: str, schema: Schema, schemas: Schema) -> None:
    """Raises ValueError if another dialect has given another schema the same name."""
    if schemas.setdefault(name, schema) != schema:
        raise ValueError(f"two schemas are called {name}: give one of them its dialect's name")

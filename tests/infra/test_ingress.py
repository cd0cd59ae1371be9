"""The REST API."""

from __future__ import annotations

import json
from typing import Any

from batchyard.surfaces.registry import ROUTES
from tests.infra.templates import Synthesized


def _paths(synthesized: Synthesized) -> dict[str, str]:
    """Logical id of a resource -> its path."""
    resources = synthesized.stateless.resources("AWS::ApiGateway::Resource")

    def path(name: str) -> str:
        parent = resources[name]["ParentId"]
        return (path(parent["Ref"]) if "Ref" in parent else "") + "/" + resources[name]["PathPart"]

    return {name: path(name) for name in resources}


def _responses(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    found = synthesized.stateless.resources("AWS::ApiGateway::GatewayResponse").values()
    return {each["ResponseType"]: each for each in found}


def test_the_api_has_the_routes_of_the_registry_and_no_other(synthesized: Synthesized) -> None:
    """Every route is a method at its path, handed to the route's function as it is; HEAD goes where GET does."""
    paths = _paths(synthesized)
    owners = {
        name: function["Handler"].split(".")[2]
        for name, function in synthesized.stateless.resources("AWS::Lambda::Function").items()
    }
    found = set()
    for method in synthesized.stateless.resources("AWS::ApiGateway::Method").values():
        assert method["Integration"]["Type"] == "AWS_PROXY"
        (function,) = [
            part["Fn::GetAtt"][0] for part in method["Integration"]["Uri"]["Fn::Join"][1] if "Fn::GetAtt" in part
        ]
        found.add((method["HttpMethod"], paths[method["ResourceId"]["Ref"]], owners[function]))
    wanted = {(route.method, route.path, route.function) for route in ROUTES}
    assert found == wanted | {("HEAD", path, function) for method, path, function in wanted if method == "GET"}


def test_bodies_of_any_type_arrive_as_they_were_sent(synthesized: Synthesized) -> None:
    """Every media type is binary, so that multipart bodies and JSONL are not decoded on the way."""
    (api,) = synthesized.stateless.resources("AWS::ApiGateway::RestApi").values()
    assert api["BinaryMediaTypes"] == ["*/*"]
    assert api["EndpointConfiguration"]["Types"] == ["REGIONAL"]


def test_the_gateways_own_answers_look_like_ours(synthesized: Synthesized) -> None:
    """Every gateway response is OpenAI's error envelope, and carries the request id in the headers of both SDKs."""
    responses = _responses(synthesized)
    assert {"REQUEST_TOO_LARGE", "MISSING_AUTHENTICATION_TOKEN", "THROTTLED", "DEFAULT_4XX", "DEFAULT_5XX"} <= set(
        responses
    )
    for kind, each in responses.items():
        body = json.loads(each["ResponseTemplates"]["application/json"])
        status = {"status": int(each["StatusCode"])} if "StatusCode" in each else {}
        assert body["error"].keys() == {"message", "type", "param", "code"} | status.keys(), kind
        assert body["error"] == body["error"] | status, kind
        assert body["error"]["code"], kind
        assert each["ResponseParameters"]["gatewayresponse.header.request-id"] == "context.requestId"
        assert each["ResponseParameters"]["gatewayresponse.header.x-request-id"] == "context.requestId"


def test_browsers_are_let_in_only_if_the_deployment_says_so(synthesized: Synthesized, staging: Synthesized) -> None:
    """Then there is OPTIONS at each path, errors of the gateway may be read, functions know the origins, and pages may
    use presigned URLs."""
    for each, is_open in ((synthesized, False), (staging, True)):
        methods = each.stateless.resources("AWS::ApiGateway::Method").values()
        asked = {method["ResourceId"]["Ref"] for method in methods if method["HttpMethod"] == "OPTIONS"}
        assert asked == ({method["ResourceId"]["Ref"] for method in methods} if is_open else set())
        for response in _responses(each).values():
            allowed = response["ResponseParameters"].get("gatewayresponse.header.Access-Control-Allow-Origin")
            assert allowed == ("'*'" if is_open else None)
        functions = each.stateless.resources("AWS::Lambda::Function").values()
        told = [function["Environment"]["Variables"].get("CORS_ORIGINS") for function in functions]
        origins = [json.loads(text) for text in told if text]
        assert origins == [["https://app.example.com", "http://localhost:3000"]] * (4 if is_open else 0)
        buckets = each.stateful.resources("AWS::S3::Bucket").values()
        assert sum("CorsConfiguration" in bucket for bucket in buckets) == is_open


def test_statuses_of_the_gateways_answers(synthesized: Synthesized) -> None:
    """404 for what is no route, whatever API Gateway takes its Authorization header for: the kinds that have no name of
    their own are 404 too, so every kind of 4XX that is something else is named. 429 comes with Retry-After."""
    responses = _responses(synthesized)
    assert {kind: each.get("StatusCode") for kind, each in responses.items()} == {
        "MISSING_AUTHENTICATION_TOKEN": "404",
        "INVALID_SIGNATURE": "404",
        "EXPIRED_TOKEN": "404",
        "RESOURCE_NOT_FOUND": "404",
        "DEFAULT_4XX": "404",
        "BAD_REQUEST_BODY": "400",
        "BAD_REQUEST_PARAMETERS": "400",
        "UNAUTHORIZED": "401",
        "INVALID_API_KEY": "401",
        "ACCESS_DENIED": "403",
        "WAF_FILTERED": "403",
        "REQUEST_TOO_LARGE": "413",
        "UNSUPPORTED_MEDIA_TYPE": "415",
        "THROTTLED": "429",
        "QUOTA_EXCEEDED": "429",
        "DEFAULT_5XX": None,
    }
    assert responses["THROTTLED"]["ResponseParameters"]["gatewayresponse.header.Retry-After"] == "'1'"


def test_no_answer_of_the_gateway_repeats_a_key(synthesized: Synthesized) -> None:
    """If there is no route, API Gateway takes the Authorization header for a signature of AWS's, and its own message
    quotes the header (https://github.com/serverless/serverless/issues/3205): a bearer's key, in our case."""
    for kind, each in _responses(synthesized).items():
        assert "error.message" not in json.dumps([each["ResponseTemplates"], each["ResponseParameters"]]), kind


def test_a_413_names_the_ways_out(synthesized: Synthesized) -> None:
    """Whoever sent too much learns of the Uploads API and its part size, the presigned upload, and the drop folder."""
    body = json.loads(_responses(synthesized)["REQUEST_TOO_LARGE"]["ResponseTemplates"]["application/json"])
    message = body["error"]["message"]
    routes = {f"{route.method} {route.path}" for route in ROUTES}
    for way in ("POST /v1/uploads", "POST /v1/files/presigned"):
        assert way in message
        assert way in routes
    assert "4 MB" in message
    assert "drop folder" in message
    assert "input_file_id" in message


def test_access_logs_tell_nothing_private(synthesized: Synthesized) -> None:
    """The access log has no headers, query strings or bodies; execution logs no data; and it is kept for some days."""
    (stage,) = synthesized.stateless.resources("AWS::ApiGateway::Stage").values()
    log_format = stage["AccessLogSetting"]["Format"]
    assert json.loads(log_format)["request_id"] == "$context.requestId"
    for private in ("header", "querystring", "body", "authorizer", "$context.path", "$input"):
        assert private not in log_format.lower()
    (every_method,) = stage["MethodSettings"]
    assert every_method["DataTraceEnabled"] is False
    assert every_method["LoggingLevel"] == "OFF", "execution logs go to a group that forgets nothing"
    assert every_method["MetricsEnabled"] is False, "they are billed by method, and nobody reads them"


def test_the_stage_is_throttled_and_traced(synthesized: Synthesized) -> None:
    """The deployment's request rate holds for every method."""
    (stage,) = synthesized.stateless.resources("AWS::ApiGateway::Stage").values()
    (every_method,) = stage["MethodSettings"]
    assert (every_method["HttpMethod"], every_method["ResourcePath"]) == ("*", "/*")
    assert every_method["ThrottlingRateLimit"] == 200
    assert every_method["ThrottlingBurstLimit"] == 400
    assert stage["TracingEnabled"] is True


def test_the_firewall_is_a_choice(synthesized: Synthesized, staging: Synthesized) -> None:
    """WAF is there if the deployment asks for it, in front of the stage, and nowhere else."""
    assert not synthesized.stateless.resources("AWS::WAFv2::WebACL")
    assert len(staging.stateless.resources("AWS::WAFv2::WebACL")) == 1
    assert len(staging.stateless.resources("AWS::WAFv2::WebACLAssociation")) == 1

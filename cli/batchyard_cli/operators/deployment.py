"""A deployment as AWS has it: its functions and what their variables say, found by its name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from batchyard_cli.exits import CommandFailed, Exit
from batchyard_cli.surroundings import Surroundings

if TYPE_CHECKING:
    from batchyard.adapters.aws.table import Table

_MESSAGE_CHARACTERS = 300
_WITHOUT_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"})
_EXPIRED = frozenset({"SSOTokenLoadError", "UnauthorizedSSOTokenError", "LoginError"})
_REFUSED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})


def find(name: str | None, surroundings: Surroundings) -> Deployed:
    """Raises CommandFailed if no name was given. Nothing is asked of AWS yet."""
    if not name:
        raise CommandFailed(
            "Which deployment?",
            "Name it with --deployment, or set BATCHYARD_DEPLOYMENT: the `name` in its file in deployments/.",
            code="usage",
        )
    return Deployed(name, surroundings)


class Deployed:
    """What AWS refuses is raised as CommandFailed, if it happens within `asking`."""

    def __init__(self, name: str, surroundings: Surroundings) -> None:
        self.name = name
        self.surroundings = surroundings
        self._clients: dict[str, Any] = {}
        self._variables: dict[str, Mapping[str, str]] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = (self.surroundings.aws or _boto3)(service)
        return self._clients[service]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def function(self, short_name: str) -> str:
        return f"{self.name}-{short_name}"

    def variables(self, function: str) -> Mapping[str, str]:
        """The environment variables of a function. Raises CommandFailed if the deployment has no such function."""
        if function not in self._variables:
            with self.asking(f"lambda:GetFunctionConfiguration on {self.function(function)}"):
                found = self.client("lambda").get_function_configuration(FunctionName=self.function(function))
            self._variables[function] = found.get("Environment", {}).get("Variables", {})
        return self._variables[function]

    def providers(self) -> list[str]:
        """Those that have a queue."""
        return sorted(json.loads(self.variables("dispatch")["QUEUE_URLS"]))

    def table(self) -> Table:
        """Its one table."""
        from batchyard.adapters.aws.table import Table

        return Table(self.client("dynamodb"), self.variables("admin")["TABLE_NAME"])

    def admin(self, action: str, **fields: Any) -> dict[str, Any]:
        """`admin_with` without the fields that are None."""
        return self.admin_with(action, {name: value for name, value in fields.items() if value is not None})

    def admin_with(self, action: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What the admin function answers. A refusal is raised as CommandFailed, with the function's words."""
        payload = {"action": action, **fields}
        with self.asking(f"lambda:InvokeFunction on {self.function('admin')}"):
            reply = self.client("lambda").invoke(
                FunctionName=self.function("admin"), Payload=json.dumps(payload).encode()
            )
        answer = json.loads(reply["Payload"].read())
        if "FunctionError" in reply:
            raise CommandFailed(
                f"The admin function failed: {answer.get('errorMessage')}",
                f"Its log says more: /aws/lambda/{self.function('admin')}.",
            )
        if "error" in answer:
            error = answer["error"]
            if error.get("param") == "action":
                raise CommandFailed(
                    f"This deployment does not know the action '{action}' yet.",
                    "Deploy the version that this command came with.",
                    code="not_deployed",
                )
            raise CommandFailed(
                str(error["message"]), "`batchyard accounts list` and `batchyard keys list` show what there is."
            )
        assert isinstance(answer, dict)
        return answer

    @contextlib.contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Around calls of AWS. `what`: the permission that they take."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise self._refusal(error.response["Error"], what) from error
        except BotoCoreError as error:
            raise _trouble(error) from error

    def _refusal(self, error: Mapping[str, Any], what: str) -> CommandFailed:
        code, message = str(error.get("Code")), str(error.get("Message")).partition("\n")[0][:_MESSAGE_CHARACTERS]
        if code in _REFUSED:
            return CommandFailed(
                f"AWS does not take these credentials: {message}",
                "Sign in again (`aws sso login`, or new keys), and look with `aws sts get-caller-identity`.",
                code="aws_credentials",
                exit=Exit.NOT_SIGNED_IN,
            )
        if code in _DENIED:
            return CommandFailed(
                f"These credentials may not do that: {message}",
                f"It takes {what}. Use a role that has it.",
                code="aws_denied",
                exit=Exit.NOT_SIGNED_IN,
            )
        if code in ("ResourceNotFoundException", "ResourceNotFound"):
            return CommandFailed(
                f"There is no deployment '{self.name}' here, or a part of it is missing: {message}",
                "Check --deployment (the `name` in its file), the region (AWS_REGION) and the AWS account.",
                code="no_deployment",
            )
        return CommandFailed(f"AWS answered {code} to {what}: {message}", "Try again in a minute.", code="aws")


def _trouble(error: Exception) -> CommandFailed:
    kind = type(error).__name__
    if kind in _WITHOUT_CREDENTIALS | _EXPIRED:
        return CommandFailed(
            f"There are no AWS credentials that work: {error}",
            "Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `aws sts get-caller-identity` tries them.",
            code="aws_credentials",
            exit=Exit.NOT_SIGNED_IN,
        )
    if kind == "NoRegionError":
        return CommandFailed("No AWS region is set.", "Set AWS_REGION to the deployment's.", code="aws_region")
    return CommandFailed(f"AWS cannot be reached: {error}", "Check the network and AWS_REGION.", code="aws_unreachable")


def _boto3(service: str) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise CommandFailed(
            "Operators' commands need boto3, which is not installed.",
            "Install it beside the command: `pipx inject batchyard-cli boto3`, or `pip install boto3`.",
            code="no_boto3",
        ) from None
    try:
        return boto3.client(service, config=Config(connect_timeout=5, retries={"mode": "standard"}))  # type: ignore[call-overload]
    except Exception as error:  # a client cannot be made without a region
        raise _trouble(error) from error

"""Requests to Bedrock are signed with the credentials of the function's role: there is no key to keep.

botocore does it, so credentials come from wherever it finds them and are fetched anew before they expire. In Lambda
they are in the environment and good for the life of the process.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

from functools import cache

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.session import Session

_SERVICE = "bedrock"
_CONTENT_TYPE = {"content-type": "application/json"}


class RoleSigner:
    """For the endpoint of one region."""

    def __init__(self, region: str) -> None:
        self._region = region

    def __call__(self, url: str, body: bytes) -> dict[str, str]:
        """The headers with which a POST of `body` to `url` shows who asks. Without credentials it goes out unsigned;
        Bedrock refuses that, and the lane waits until a person acts."""
        return self.headers("POST", url, body)

    def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """As above, for any method."""
        request = AWSRequest(method, url, data=body, headers=dict(_CONTENT_TYPE))
        try:
            credentials = session().get_credentials()
            if credentials is None:
                return dict(_CONTENT_TYPE)
            frozen = credentials.get_frozen_credentials()
        except BotoCoreError:
            return dict(_CONTENT_TYPE)
        SigV4Auth(frozen, _SERVICE, self._region).add_auth(request)
        return dict(request.headers.items())


@cache
def session() -> Session:
    """Where the credentials of this process are looked for, and kept once they are found."""
    return Session()

"""The keys that this session's own STS and IAM hand out: random ones, and the list of them.

moto makes access key ids of 39 random bits, and GetSessionToken and GetFederationToken give everybody the
same constant. One session could then not tell its own keys from another's. Here each key has as many random
bits as the session's own, and moto's tables stay the one place where they are kept.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Callable
from typing import Any

import moto.iam.models as iam_models
from moto.core.responses import ActionResult, BaseResponse
from moto.iam.models import iam_backends
from moto.moto_api._internal import mock_random
from moto.sts.models import STSBackend
from moto.sts.responses import TokenResponse
from moto.sts.utils import random_session_token

from .credentials import random_access_key_id, random_secret_access_key

#: What get_caller_identity answers: user id, ARN, account.
Identity = tuple[str, str, str]

_MOTO_ACCESS_KEY = re.compile(r"AWS\S*\s+(?:Credential=)?(?P<access_key>[A-Z0-9]{16,128})[:/]")


class HandedOutKeys:
    """Replaces moto's key makers in this process, and knows which keys came from them."""

    def __init__(self) -> None:
        self._identities: dict[str, Identity] = {}

    def install(self) -> None:
        """Replace what makes keys in moto. Call it once, before the first request."""
        # Whatever else moto draws (role ids, for example) differs from session to session as well.
        mock_random.seed(os.urandom(32))
        iam_models.generate_access_key_id_from_account_id = _access_key_id
        iam_models.random_alphanumeric = lambda length: random_secret_access_key()[:length]
        # moto finds a caller by a pattern for keys of exactly 20 characters; ours are longer.
        BaseResponse.access_key_regex = _MOTO_ACCESS_KEY
        self._replace_token_operations()
        self._replace_caller_identity()

    def accepts(self, access_key_id: str) -> bool:
        """Whether this session's STS or IAM handed the key out and still has it active."""
        found = False
        # Copies, because other threads add keys meanwhile; and no early end, so that the time says nothing.
        for account in list(iam_backends.values()):
            for backend in list(account.values()):
                for key in list(backend.access_keys.values()):
                    same = hmac.compare_digest(key.access_key_id.encode(), access_key_id.encode())
                    found |= same and key.status == "Active"
        return found

    def _replace_token_operations(self) -> None:
        session_token = TokenResponse.get_session_token
        federation_token = TokenResponse.get_federation_token

        def get_session_token(response: Any) -> ActionResult:
            caller = response.backend.get_caller_identity(response.get_access_key(), response.region)
            return self._with_fresh_key(response, session_token(response), caller)

        def get_federation_token(response: Any) -> ActionResult:
            answer = federation_token(response)
            user = answer.result["FederatedUser"]
            identity = (user["FederatedUserId"], user["Arn"], response.current_account)
            return self._with_fresh_key(response, answer, identity)

        TokenResponse.get_session_token = get_session_token
        TokenResponse.get_federation_token = get_federation_token

    def _with_fresh_key(self, response: Any, answer: ActionResult, identity: Identity) -> ActionResult:
        key = iam_backends[response.current_account][response.partition].create_temp_access_key()
        self._identities[key.access_key_id] = identity
        answer.result["Credentials"].update(
            AccessKeyId=key.access_key_id,
            SecretAccessKey=key.secret_access_key,
            SessionToken=random_session_token(),
        )
        return answer

    def _replace_caller_identity(self) -> None:
        moto_answer: Callable[[STSBackend, str, str], Identity] = STSBackend.get_caller_identity

        def get_caller_identity(backend: STSBackend, access_key_id: str, region: str) -> Identity:
            # Such a key acts as whoever asked for it (STS's API reference, GetSessionToken and
            # GetFederationToken).
            identity = self._identities.get(access_key_id)
            return identity or moto_answer(backend, access_key_id, region)

        STSBackend.get_caller_identity = get_caller_identity


def _access_key_id(account_id: str, prefix: str, total_length: int = 20) -> str:
    """Stand in for moto's maker of ids, whose length (20) leaves too little room for chance."""
    return random_access_key_id(prefix)

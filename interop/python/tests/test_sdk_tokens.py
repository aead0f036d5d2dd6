"""Tokens that the vault refuses, and how it tells Azure's SDK which one it wants."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.emulator import Emulator
from harness.refusals import refusal

COMPONENTS = {
    "azure-identity": "tokens that the vault refuses, and the new one after a revoked one",
    "azure-keyvault-keys": "the challenge of a 401",
}


class _Given:
    """A credential that holds one token, and remembers what it was asked for."""

    def __init__(self, token: str) -> None:
        self._token = token
        self.asked: list[tuple[tuple[str, ...], str | None]] = []

    def get_token(self, *scopes: str, tenant_id: str | None = None, **_options: Any) -> AccessToken:
        self.asked.append((scopes, tenant_id))
        return AccessToken(self._token, int(time.time()) + 3600)


def _token(emulator: Emulator, resource: str) -> str:
    info = emulator.info
    credential = ClientSecretCredential(info.tenant_id, info.client_id, info.client_secret)
    return credential.get_token(f"{resource}/.default").token


def _foreign_token(emulator: Emulator) -> str:
    """Says the right things under the wrong signature."""
    right = _token(emulator, "https://vault.azure.net")
    claims = jwt.decode(right, options={"verify_signature": False})
    key_id = {"kid": jwt.get_unverified_header(right)["kid"]}
    return jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256", key_id)


def _token_for_another_resource(emulator: Emulator) -> str:
    return _token(emulator, "https://management.azure.com")


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (lambda _: "rubbish", "AKV10000"),
        (_foreign_token, "AKV10046"),
        (_token_for_another_resource, "AKV10022"),
    ],
    ids=["rubbish", "foreign signature", "another resource"],
)
def test_a_token_that_is_not_for_the_vault_is_refused(
    emulator: Emulator, token: Callable[[Emulator], str], code: str
) -> None:
    client = KeyClient(emulator.info.vault_url, _Given(token(emulator)), retry_total=0)
    error = refusal(lambda: client.get_key(emulator.info.key_name), ClientAuthenticationError)
    assert error.codes == (401, "Unauthorized", None)
    assert code in error.message


def test_the_challenge_tells_the_sdk_tenant_and_scope(emulator: Emulator) -> None:
    credential = _Given("rubbish")
    client = KeyClient(emulator.info.vault_url, credential, retry_total=0)
    refusal(lambda: client.get_key(emulator.info.key_name), ClientAuthenticationError)
    assert credential.asked[0] == (("https://vault.azure.net/.default",), emulator.info.tenant_id)


def test_a_request_without_token_and_body_is_challenged(emulator: Emulator) -> None:
    # what Azure's clients send first, whatever the operation
    url = f"{emulator.info.vault_url}/keys/{emulator.info.key_name}//encrypt?api-version=7.4"
    answer = requests.post(url, headers={"Content-Length": "0"}, timeout=10)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": {"code": "Unauthorized", "message": "AKV10000: Request is missing a Bearer or PoP token."}
    }
    authority = f"https://{emulator.info.authority_host}/{emulator.info.tenant_id}"
    expected = f'Bearer authorization="{authority}", resource="https://vault.azure.net"'
    assert answer.headers["WWW-Authenticate"] == expected


def test_a_revoked_token_is_refused_and_a_new_one_is_accepted(emulator: Emulator) -> None:
    info = emulator.info
    revoked, anew = _client(emulator), _client(emulator)
    assert revoked.get_key(info.key_name).name == info.key_name
    emulator.revoke_tokens()
    error = refusal(lambda: revoked.get_key(info.key_name), ClientAuthenticationError)
    assert error.codes == (401, "Unauthorized", None)
    assert anew.get_key(info.key_name).name == info.key_name


def _client(emulator: Emulator) -> KeyClient:
    info = emulator.info
    # a credential of its own: the others' tokens are of no use afterwards
    credential = ClientSecretCredential(info.tenant_id, info.client_id, info.client_secret)
    return KeyClient(info.vault_url, credential, retry_total=0)

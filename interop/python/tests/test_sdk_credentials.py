"""azure-identity gets tokens and refusals from the emulator's Entra ID and IMDS; PyJWT checks the tokens."""

import ssl
import time
import uuid
from typing import Any

import jwt
import pytest
import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    ClientSecretCredential,
    CredentialUnavailableError,
    DefaultAzureCredential,
    ManagedIdentityCredential,
)

from harness.emulator import Emulator, Info

COMPONENTS = {
    "azure-identity": "tokens and refusals of Entra ID and IMDS, by secret and by managed identity",
    "PyJWT": "signature and claims of the tokens against the published keys",
}

AUDIENCE = "https://vault.azure.net"
SCOPE = f"{AUDIENCE}/.default"


@pytest.fixture(autouse=True)
def _imds(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", emulator.info.imds_url)


@pytest.fixture
def info(emulator: Emulator) -> Info:
    """Who exists."""
    return emulator.info


def verified_claims(info: Info, token: str) -> dict[str, Any]:
    """The claims of a token, after all checks that a resource makes."""
    keys = jwt.PyJWKClient(
        f"https://{info.authority_host}/{info.tenant_id}/discovery/v2.0/keys",
        ssl_context=ssl.create_default_context(cafile=info.ca_file),
    )
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["RS256"],
        audience=AUDIENCE,
        issuer=f"https://sts.windows.net/{info.tenant_id}/",
        options={"require": ["aud", "iss", "iat", "nbf", "exp", "sub"]},
    )


def test_a_client_secret_gives_a_token_of_that_application(
    info: Info, credential: ClientSecretCredential
) -> None:
    token = credential.get_token(SCOPE)
    claims = verified_claims(info, token.token)
    assert (claims["appid"], claims["tid"], claims["ver"]) == (info.client_id, info.tenant_id, "1.0")
    assert claims["oid"] == claims["sub"] != info.client_id
    # the SDK reckons from when it asked
    assert abs(token.expires_on - claims["exp"]) <= 5


def test_a_token_lasts_as_long_as_it_says(emulator: Emulator, info: Info) -> None:
    emulator.set_token_lifetime(7200)
    before = int(time.time())
    token = ClientSecretCredential(info.tenant_id, info.client_id, info.client_secret).get_token(SCOPE)
    claims = verified_claims(info, token.token)
    assert before <= claims["iat"] <= time.time()
    assert claims["exp"] - claims["iat"] == 7200


def test_the_machine_s_own_identity_gives_a_token(info: Info) -> None:
    claims = verified_claims(info, ManagedIdentityCredential().get_token(SCOPE).token)
    assert claims["appid"] == info.system_assigned_client_id


def test_an_identity_is_chosen_by_client_id_or_by_resource_id(info: Info) -> None:
    by_resource = ManagedIdentityCredential(identity_config={"resource_id": info.user_assigned_resource_id})
    for credential in (ManagedIdentityCredential(client_id=info.user_assigned_client_id), by_resource):
        claims = verified_claims(info, credential.get_token(SCOPE).token)
        assert claims["appid"] == info.user_assigned_client_id


def test_the_default_credential_finds_imds_by_its_probe(info: Info) -> None:
    default = DefaultAzureCredential(
        exclude_environment_credential=True,
        exclude_workload_identity_credential=True,
        exclude_shared_token_cache_credential=True,
        exclude_visual_studio_code_credential=True,
        exclude_developer_cli_credential=True,
        exclude_cli_credential=True,
        exclude_powershell_credential=True,
        exclude_broker_credential=True,
    )
    claims = verified_claims(info, default.get_token(SCOPE).token)
    assert claims["appid"] == info.system_assigned_client_id


@pytest.mark.parametrize(
    "unknown",
    [
        {"client_id": str(uuid.UUID(int=1))},
        {"identity_config": {"object_id": str(uuid.UUID(int=2))}},
        {"identity_config": {"resource_id": "/subscriptions/none"}},
    ],
    ids=["client id", "object id", "resource id"],
)
def test_an_identity_that_is_not_the_machine_s_is_refused(unknown: dict[str, Any]) -> None:
    with pytest.raises(CredentialUnavailableError, match="Identity not found"):
        ManagedIdentityCredential(**unknown).get_token(SCOPE)


def _with(info: Info, **changes: str) -> ClientSecretCredential:
    parts = {
        "tenant_id": info.tenant_id,
        "client_id": info.client_id,
        "client_secret": info.client_secret,
        **changes,
    }
    return ClientSecretCredential(**parts)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_secret": "wrong"}, "AADSTS7000215"),
        ({"client_id": str(uuid.UUID(int=1))}, "AADSTS700016"),
        ({"tenant_id": str(uuid.UUID(int=1))}, "AADSTS90002"),
    ],
    ids=["secret", "application", "tenant"],
)
def test_wrong_credentials_fail_with_entra_s_code(info: Info, changes: dict[str, str], code: str) -> None:
    with pytest.raises(ClientAuthenticationError, match=code):
        _with(info, **changes).get_token(SCOPE)


def test_a_scope_without_default_is_refused(info: Info) -> None:
    with pytest.raises(ClientAuthenticationError, match="AADSTS70011"):
        _with(info).get_token("https://vault.azure.net/read")


@pytest.mark.parametrize("make", [_with, lambda _: ManagedIdentityCredential()], ids=["secret", "identity"])
def test_a_credential_asks_once_and_keeps_its_token(info: Info, make: Any) -> None:
    credential: TokenCredential = make(info)
    assert credential.get_token(SCOPE).token == credential.get_token(SCOPE).token


def test_the_v1_endpoint_answers_the_go_plugin_with_strings(info: Info) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": info.client_id,
        "client_secret": info.client_secret,
        "resource": AUDIENCE,
    }
    url = f"https://{info.authority_host}/{info.tenant_id}/oauth2/token?api-version=1.0"
    answer = requests.post(url, data=form, timeout=10).json()
    assert all(isinstance(value, str) for value in answer.values())
    assert int(answer["expires_on"]) - int(answer["not_before"]) == int(answer["expires_in"]) == 3600
    assert answer["resource"] == AUDIENCE
    assert verified_claims(info, answer["access_token"])["exp"] == int(answer["expires_on"])


def test_imds_wants_its_header_and_no_proxy(info: Info) -> None:
    url = f"{info.imds_url}/metadata/identity/oauth2/token"
    query = {"api-version": "2018-02-01", "resource": AUDIENCE}
    marked = {"Metadata": "true"}
    assert requests.get(url, query, headers=marked, timeout=10).status_code == 200
    for headers in ({}, {**marked, "X-Forwarded-For": "10.0.0.1"}):
        refused = requests.get(url, query, headers=headers, timeout=10)
        assert (refused.status_code, refused.json()["error"]) == (400, "bad_request_102")


def test_the_signing_key_is_published_under_the_token_s_key_id(
    info: Info, credential: ClientSecretCredential
) -> None:
    base = f"https://{info.authority_host}/{info.tenant_id}"
    configuration = requests.get(f"{base}/v2.0/.well-known/openid-configuration", timeout=10).json()
    keys = requests.get(configuration["jwks_uri"], timeout=10).json()["keys"]
    header = jwt.get_unverified_header(credential.get_token(SCOPE).token)
    assert [key["kty"] for key in keys if key["kid"] == header["kid"]] == ["RSA"]
    assert header["alg"] == "RS256"

"""Proxy mode: a server in Python takes the requests of both services in plain HTTP, as the Go plugin sends them."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from azure.keyvault.keys import KeyClient

from conftest import StartProxied
from go_plugin import GoPlugin, KeyVersion, RemoteVault
from harness.client import KmsClient
from harness.daemon import Daemon
from harness.emulator import Emulator
from harness.proxy import Proxy, Target
from harness.stubs import Stubs
from harness.waiting import wait_until

COMPONENTS = {
    "azure-keyvault-keys": "reads what the daemon sealed through the proxy of proxy mode, and the other way round",
    "PyJWT": "tokens of a workload identity, before and after kubelet writes a new one",
}

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
RELOADED = "Credential reloaded"
OPERATIONS = {"encrypt": ("encrypt", "decrypt"), "wrap": ("wrapkey", "unwrapkey")}


@pytest.fixture
def secret(emulator: Emulator) -> dict[str, Any]:
    """The fields of a client secret."""
    return {"aadClientSecret": emulator.info.client_secret}


@pytest.mark.parametrize("operations", OPERATIONS)
def test_both_apis_work_through_the_proxy(
    proxy: Proxy,
    start_proxied: StartProxied,
    secret: dict[str, Any],
    first_key: KeyVersion,
    stubs: Stubs,
    operations: str,
) -> None:
    daemon = start_proxied(secret, f"--key-operations={operations}")
    proxy.forget()
    _assert_round_trips(daemon, stubs)
    key = f"/{first_key.vault_host}/keys/{first_key.name}/{first_key.version}"
    asked = {urlsplit(request.path).path for request in proxy.asked(Target.KEY_VAULT)}
    assert {path.lower() for path in asked} >= {f"{key}/{name}" for name in OPERATIONS[operations]}


def _assert_round_trips(daemon: Daemon, stubs: Stubs) -> None:
    plaintext = secrets.token_bytes(32)
    with KmsClient(stubs, daemon.target) as client:
        assert client.decrypt_v1(client.encrypt_v1(plaintext)) == plaintext
        assert client.decrypt_v2(client.encrypt_v2(plaintext)) == plaintext


def test_every_request_says_whom_it_is_for_and_has_that_service_s_path(
    emulator: Emulator, proxy: Proxy, start_proxied: StartProxied, secret: dict[str, Any], stubs: Stubs
) -> None:
    _assert_round_trips(start_proxied(secret), stubs)
    prefixes = {
        Target.KEY_VAULT: f"/{emulator.info.vault_host}/keys/",
        Target.ENTRA_ID: f"/{emulator.info.tenant_id}/oauth2/",
    }
    assert {request.target for request in proxy.asked()} == set(prefixes)
    for target, prefix in prefixes.items():
        for request in proxy.asked(target):
            assert request.path.startswith(prefix), request.path
            assert request.headers["host"] == f"127.0.0.1:{proxy.port}"


def test_a_client_secret_goes_to_entra_id_alone(
    emulator: Emulator, proxy: Proxy, start_proxied: StartProxied, secret: dict[str, Any], stubs: Stubs
) -> None:
    _assert_round_trips(start_proxied(secret), stubs)
    assert proxy.asked(Target.ENTRA_ID)[0].form == {
        "grant_type": "client_credentials",
        "client_id": emulator.info.client_id,
        "scope": "https://vault.azure.net/.default",
        "client_secret": emulator.info.client_secret,
    }
    for request in proxy.asked(Target.KEY_VAULT):
        assert emulator.info.client_secret not in f"{request.path} {request.headers} {request.body!r}"


def test_key_id_keeps_the_url_of_the_key_without_the_proxy(
    start_proxied: StartProxied, secret: dict[str, Any], first_key: KeyVersion, stubs: Stubs
) -> None:
    with KmsClient(stubs, start_proxied(secret).target) as client:
        assert client.status().key_id == first_key.key_id
        assert client.encrypt_v2(b"x").key_id == first_key.key_id


def test_what_was_sealed_on_one_side_of_the_proxy_is_opened_on_the_other(
    start_proxied: StartProxied,
    secret: dict[str, Any],
    key_client: KeyClient,
    first_key: KeyVersion,
    stubs: Stubs,
) -> None:
    direct = GoPlugin(RemoteVault(key_client, first_key))
    with KmsClient(stubs, start_proxied(secret).target) as proxied:
        assert direct.decrypt_v1(proxied.encrypt_v1(b"x")) == b"x"
        assert direct.decrypt_v2(proxied.encrypt_v2(b"x")) == b"x"
        assert proxied.decrypt_v1(direct.encrypt_v1(b"x")) == b"x"
        assert proxied.decrypt_v2(direct.encrypt_v2(b"x")) == b"x"


def federated_token() -> str:
    """A token such as the API server issues for a service account. Its signature is for Entra ID to check."""
    now = int(time.time())
    claims = {
        "iss": "https://issuer.example/",
        "sub": "system:serviceaccount:kube-system:kms",
        "aud": "api://AzureADTokenExchange",
        "jti": secrets.token_hex(8),
        "iat": now,
        "exp": now + 3600,
    }
    return jwt.encode(claims, secrets.token_bytes(32), "HS256")


def replace_file(file: Path, token: str) -> None:
    """A rename in the file's folder."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(token)
    os.replace(new, file)


def replace_as_kubelet(file: Path, token: str) -> None:
    """kubelet's projected volumes: the file is a link through `..data`, which is swapped."""
    version = file.with_name(f"..{secrets.token_hex(4)}")
    version.mkdir()
    (version / file.name).write_text(token)
    new = file.with_name("..data_tmp")
    new.symlink_to(version.name)
    os.replace(new, file.with_name("..data"))
    if not file.is_symlink():
        file.symlink_to(Path("..data") / file.name)


Replace = Callable[[Path, str], None]
every_way_to_replace = pytest.mark.parametrize("replace", [replace_file, replace_as_kubelet])


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Where the token will be; its folder is empty."""
    folder = tmp_path / "token"
    folder.mkdir()
    return folder / "azure-identity-token"


def workload_identity(file: Path) -> dict[str, Any]:
    """The fields of azure.json."""
    return {"useFederatedWorkloadIdentityExtension": True, "aadFederatedTokenFile": str(file)}


@every_way_to_replace
def test_the_token_of_a_workload_identity_is_sent_as_it_stands(
    emulator: Emulator,
    proxy: Proxy,
    start_proxied: StartProxied,
    token_file: Path,
    stubs: Stubs,
    replace: Replace,
) -> None:
    token = federated_token()
    replace(token_file, token)
    _assert_round_trips(start_proxied(workload_identity(token_file)), stubs)
    for request in proxy.asked(Target.ENTRA_ID):
        assert request.path == f"/{emulator.info.tenant_id}/oauth2/v2.0/token"
        assert request.form == {
            "grant_type": "client_credentials",
            "client_id": emulator.info.client_id,
            "scope": "https://vault.azure.net/.default",
            "client_assertion_type": JWT_BEARER,
            "client_assertion": token,
        }


@every_way_to_replace
def test_the_new_token_of_a_workload_identity_is_sent_after_a_reload(
    proxy: Proxy, start_proxied: StartProxied, token_file: Path, stubs: Stubs, replace: Replace
) -> None:
    tokens = [federated_token() for _ in range(3)]
    replace(token_file, tokens[0])
    daemon = start_proxied(workload_identity(token_file), "--reload-interval=200ms")
    for count, token in enumerate(tokens[1:], 1):
        replace(token_file, token)
        _wait_for_reload(daemon, count)
        _assert_round_trips(daemon, stubs)
    assert _distinct(request.assertion for request in proxy.asked(Target.ENTRA_ID)) == tokens


def _wait_for_reload(daemon: Daemon, count: int) -> None:
    wait_until(lambda: daemon.log().count(RELOADED) >= count, f"reload {count}")


def _distinct(values: Iterator[str]) -> list[str]:
    """Each once, in the order in which they first came."""
    return list(dict.fromkeys(values))


def test_a_token_file_that_did_not_change_is_not_reloaded(
    proxy: Proxy, start_proxied: StartProxied, token_file: Path, stubs: Stubs
) -> None:
    replace_file(token_file, federated_token())
    daemon = start_proxied(workload_identity(token_file), "--reload-interval=20ms")
    before = len(proxy.asked(Target.ENTRA_ID))
    for _ in range(20):
        _assert_round_trips(daemon, stubs)
    assert len(proxy.asked(Target.ENTRA_ID)) == before
    assert RELOADED not in daemon.log()

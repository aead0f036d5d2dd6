"""What the vault refuses reaches users of Azure's SDK as the exceptions and codes of the real service."""

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import (
    ResourceNotFoundError,
    ServiceResponseError,
)
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient, KeyOperation, KeyVaultKey
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm

from harness.emulator import Emulator
from harness.refusals import Refusal, refusal

COMPONENTS = {
    "azure-keyvault-keys": "403, 404, 429, 5xx and broken connections as its exceptions",
}

USE = ["encrypt", "decrypt", "wrapKey", "unwrapKey"]
ALGORITHM = EncryptionAlgorithm.rsa_oaep_256
WRAP_ALGORITHM = KeyWrapAlgorithm.rsa_oaep_256


@pytest.fixture
def key(key_client: KeyClient) -> KeyVaultKey:
    """A new key."""
    return key_client.create_rsa_key(f"key-{secrets.token_hex(6)}")


@pytest.fixture
def ciphertext(key: KeyVaultKey, credential: ClientSecretCredential) -> bytes:
    """Sealed with it while it could be used."""
    with CryptographyClient(key, credential) as client:
        return client.encrypt(ALGORITHM, b"x").ciphertext


class Remote:
    """The four operations, all done by the vault since the key may not be read."""

    def __init__(self, client: CryptographyClient, ciphertext: bytes) -> None:
        self.calls: dict[str, Callable[[], Any]] = {
            "encrypt": lambda: client.encrypt(ALGORITHM, b"x"),
            "decrypt": lambda: client.decrypt(ALGORITHM, ciphertext),
            "wrapKey": lambda: client.wrap_key(WRAP_ALGORITHM, b"x"),
            "unwrapKey": lambda: client.unwrap_key(WRAP_ALGORITHM, ciphertext),
        }

    def refusal(self, operation: str) -> Refusal:
        """How that operation fails."""
        return refusal(self.calls[operation])

    def works(self, operation: str) -> bool:
        """Whether it does not fail."""
        self.calls[operation]()
        return True


@pytest.fixture
def remote(credential: ClientSecretCredential, key: KeyVaultKey, ciphertext: bytes) -> Iterator[Remote]:
    """Of that key."""
    with CryptographyClient(key.id, credential, retry_total=0) as client:
        yield Remote(client, ciphertext)


@pytest.mark.parametrize("operation", USE)
def test_a_disabled_key_does_nothing(
    emulator: Emulator, key_client: KeyClient, key: KeyVaultKey, remote: Remote, operation: str
) -> None:
    key_client.update_key_properties(key.name, enabled=False)
    emulator.set_permissions(emulator.info.client_id, *USE)
    error = remote.refusal(operation)
    assert error.codes == (403, "Forbidden", "KeyDisabled")
    assert error.message == f"Operation {operation} is not allowed on a disabled key."


@pytest.mark.parametrize(
    ("validity", "code"),
    [
        ({"expires_on": datetime.now(UTC) - timedelta(days=1)}, "KeyExpired"),
        ({"not_before": datetime.now(UTC) + timedelta(days=1)}, "KeyNotYetValid"),
    ],
    ids=["expired", "not yet valid"],
)
def test_a_key_outside_of_its_validity_opens_but_does_not_seal(
    emulator: Emulator,
    key_client: KeyClient,
    key: KeyVaultKey,
    remote: Remote,
    validity: dict[str, Any],
    code: str,
) -> None:
    key_client.update_key_properties(key.name, **validity)
    emulator.set_permissions(emulator.info.client_id, *USE)
    for operation in ("encrypt", "wrapKey"):
        assert remote.refusal(operation).codes == (403, "Forbidden", code)
    assert all(remote.works(operation) for operation in ("decrypt", "unwrapKey"))


@pytest.mark.parametrize("operation", USE)
def test_an_operation_that_the_key_is_not_for_is_refused(
    emulator: Emulator, key_client: KeyClient, key: KeyVaultKey, remote: Remote, operation: str
) -> None:
    others: list[str | KeyOperation] = [KeyOperation(other) for other in USE if other != operation]
    key_client.update_key_properties(key.name, key_operations=others)
    emulator.set_permissions(emulator.info.client_id, *USE)
    assert remote.refusal(operation).codes == (403, "Forbidden", "KeyOperationForbidden")
    assert all(remote.works(other) for other in USE if other != operation)


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("encrypt", "encrypt/action"),
        ("decrypt", "decrypt/action"),
        ("wrapKey", "wrap/action"),
        ("unwrapKey", "unwrap/action"),
    ],
)
def test_a_missing_right_is_refused_by_the_name_of_its_action(
    emulator: Emulator, remote: Remote, operation: str, action: str
) -> None:
    others = [other for other in USE if other != operation]
    emulator.set_permissions(emulator.info.client_id, *others)
    error = remote.refusal(operation)
    assert error.codes == (403, "Forbidden", "ForbiddenByRbac")
    assert f"Action: 'Microsoft.KeyVault/vaults/keys/{action}'\r\n" in error.message
    assert f"appid={emulator.info.client_id};" in error.message
    assert all(remote.works(other) for other in others)


@pytest.mark.parametrize(
    "call",
    [
        lambda client, name: client.get_key(name),
        lambda client, name: list(client.list_properties_of_key_versions(name)),
        lambda client, name: client.create_rsa_key(name),
        lambda client, name: client.update_key_properties(name, enabled=True),
        lambda client, name: client.rotate_key(name),
    ],
    ids=["get", "list", "create", "update", "rotate"],
)
def test_management_needs_rights_too(
    emulator: Emulator, key_client: KeyClient, key: KeyVaultKey, call: Callable[[KeyClient, str], Any]
) -> None:
    call(key_client, key.name)
    emulator.set_permissions(emulator.info.client_id, *USE)
    error = refusal(lambda: call(key_client, key.name))
    assert error.codes == (403, "Forbidden", "ForbiddenByRbac")


def test_rights_are_checked_before_the_key_is_looked_for(emulator: Emulator, key_client: KeyClient) -> None:
    emulator.set_permissions(emulator.info.client_id, *USE)
    assert refusal(lambda: key_client.get_key("absent")).status == 403


@pytest.mark.parametrize(
    "call",
    [
        lambda client, _: client.get_key("absent"),
        lambda client, key: client.get_key(key.name, "0" * 32),
        lambda client, _: client.rotate_key("absent"),
        lambda client, _: client.update_key_properties("absent", enabled=True),
        lambda client, key: client.update_key_properties(key.name, "0" * 32, enabled=True),
    ],
    ids=["get", "get version", "rotate", "update", "update version"],
)
def test_a_key_that_does_not_exist_is_not_found(
    key_client: KeyClient, key: KeyVaultKey, call: Callable[[KeyClient, KeyVaultKey], Any]
) -> None:
    error = refusal(lambda: call(key_client, key), ResourceNotFoundError)
    assert error.codes == (404, "KeyNotFound", None)
    assert "was not found in this key vault" in error.message


def test_a_key_that_does_not_exist_cannot_be_used(
    emulator: Emulator, credential: ClientSecretCredential
) -> None:
    emulator.set_permissions(emulator.info.client_id, *USE)
    kid = f"{emulator.info.vault_url}/keys/absent/{'0' * 32}"
    with CryptographyClient(kid, credential, retry_total=0) as client:
        error = refusal(lambda: client.encrypt(ALGORITHM, b"x"), ResourceNotFoundError)
    assert error.codes == (404, "KeyNotFound", None)


@pytest.mark.parametrize("retry_after", [None, 7])
def test_throttling_is_a_429_with_retry_after_only_when_it_is_asked_for(
    emulator: Emulator, key_client: KeyClient, retry_after: int | None
) -> None:
    emulator.set_vault_faults(throttle_per_10s=1, retry_after_s=retry_after)
    key_client.get_key(emulator.info.key_name)
    error = refusal(lambda: key_client.get_key(emulator.info.key_name))
    assert error.codes == (429, "Throttled", None)
    assert "VaultRequestTypeLimitReached" in error.message
    assert error.headers.get("retry-after") == (retry_after and str(retry_after))


def test_the_sdk_waits_as_long_as_a_throttled_vault_asks(
    emulator: Emulator, credential: ClientSecretCredential
) -> None:
    client = KeyClient(emulator.info.vault_url, credential, retry_total=1)
    client.get_key(emulator.info.key_name)
    emulator.set_vault_faults(throttle_per_10s=0, retry_after_s=1)
    start = time.monotonic()
    assert refusal(lambda: client.get_key(emulator.info.key_name)).status == 429
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_an_http_error_of_that_status(
    emulator: Emulator, key_client: KeyClient, status: int
) -> None:
    emulator.set_vault_faults(error_rate=1, status=status)
    error = refusal(lambda: key_client.get_key(emulator.info.key_name))
    assert error.codes == (status, "InternalServerError", None)


def test_a_connection_that_breaks_is_no_http_error(emulator: Emulator, key_client: KeyClient) -> None:
    emulator.set_vault_faults(reset_rate=1)
    with pytest.raises(ServiceResponseError):
        key_client.get_key(emulator.info.key_name)

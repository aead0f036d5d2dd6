"""azure-keyvault-keys makes, lists, changes and rotates keys in the emulator as in a vault of Azure."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import ApiVersion, KeyClient, KeyOperation, KeyVaultKey

from harness.emulator import Emulator
from harness.refusals import refusal

COMPONENTS = {
    "azure-keyvault-keys": "create, get, list with paging, update and rotate, in each of its API versions"
}

ALL_OPERATIONS = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"]


@pytest.fixture
def name() -> str:
    """Of a key that does not exist."""
    return f"key-{secrets.token_hex(6)}"


@pytest.fixture
def key(key_client: KeyClient, name: str) -> KeyVaultKey:
    """A new key."""
    return key_client.create_rsa_key(name)


def modulus(key: KeyVaultKey) -> bytes:
    """Of a key as it was shown."""
    shown: bytes = getattr(key.key, "n", b"")
    return shown


def properties(key_client: KeyClient, key: KeyVaultKey) -> tuple[object, ...]:
    """What may change, as the vault now has it."""
    now = key_client.get_key(key.name, key.properties.version)
    attributes = now.properties
    validity = (attributes.not_before, attributes.expires_on)
    return (attributes.enabled, *validity, attributes.tags, now.key_operations)


@pytest.mark.parametrize("size", [2048, 3072, 4096])
def test_a_key_is_made_in_the_size_that_is_asked_for(key_client: KeyClient, name: str, size: int) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    made = key_client.create_rsa_key(name, size=size)
    assert int.from_bytes(modulus(made), "big").bit_length() == size
    assert (made.key_type, getattr(made.key, "e", None)) == ("RSA", b"\x01\x00\x01")
    assert made.key_operations == ALL_OPERATIONS
    attributes = made.properties
    assert (attributes.enabled, attributes.recovery_level) == (True, "Recoverable+Purgeable")
    assert attributes.created_on
    assert before <= attributes.created_on <= datetime.now(UTC)
    assert attributes.updated_on == attributes.created_on
    assert attributes.vault_url == key_client.vault_url
    assert len(bytes.fromhex(str(attributes.version))) == 16


def test_private_parts_never_come_back(key_client: KeyClient, key: KeyVaultKey) -> None:
    for shown in (key, key_client.get_key(key.name)):
        assert not any(getattr(shown.key, part) for part in ("d", "p", "q", "dp", "dq", "qi", "k", "t"))


def test_a_key_is_made_as_described(key_client: KeyClient, name: str) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    made = key_client.create_rsa_key(
        name,
        enabled=False,
        not_before=now,
        expires_on=now + timedelta(days=1),
        tags={"for": "etcd"},
        key_operations=[KeyOperation.encrypt, KeyOperation.decrypt],
    )
    expected = (False, now, now + timedelta(days=1), {"for": "etcd"}, ["encrypt", "decrypt"])
    assert properties(key_client, made) == expected


@pytest.mark.parametrize(("size", "name"), [(1024, "small"), (2047, "odd"), (2048, "under_score")])
def test_an_impossible_key_is_refused(key_client: KeyClient, size: int, name: str) -> None:
    error = refusal(lambda: key_client.create_rsa_key(name, size=size))
    assert error.codes == (400, "BadParameter", None)


def test_a_key_is_got_by_version_and_without(key_client: KeyClient, key: KeyVaultKey) -> None:
    newest = key_client.create_rsa_key(key.name)
    assert newest.id != key.id
    assert key_client.get_key(key.name).id == newest.id
    assert key_client.get_key(key.name, key.properties.version).id == key.id
    assert key_client.get_key(key.name, str(key.properties.version).upper()).id == key.id


def test_versions_are_listed_over_all_pages(key_client: KeyClient, emulator: Emulator, name: str) -> None:
    made = {key_client.create_rsa_key(name).id for _ in range(5)}
    before = emulator.calls(emulator.info.client_id, "list")
    pages = key_client.list_properties_of_key_versions(name, max_page_size=2).by_page()
    listed = [[version.id for version in page] for page in pages]
    assert [len(page) for page in listed] == [2, 2, 1]
    assert {kid for page in listed for kid in page} == made
    assert emulator.calls(emulator.info.client_id, "list") - before == 3


def test_a_listed_version_has_its_attributes(key_client: KeyClient, key: KeyVaultKey) -> None:
    key_client.update_key_properties(key.name, key.properties.version, enabled=False)
    (listed,) = key_client.list_properties_of_key_versions(key.name)
    assert (listed.id, listed.version, listed.enabled) == (key.id, key.properties.version, False)
    assert listed.created_on == key.properties.created_on


def test_every_key_is_listed_once(key_client: KeyClient, key: KeyVaultKey) -> None:
    key_client.rotate_key(key.name)
    listed = [found.id for found in key_client.list_properties_of_keys()]
    assert listed.count(f"{key_client.vault_url}/keys/{key.name}") == 1
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("size", [0, 26])
def test_a_page_holds_1_to_25_versions(key_client: KeyClient, key: KeyVaultKey, size: int) -> None:
    pages = key_client.list_properties_of_key_versions(key.name, max_page_size=size)
    assert refusal(lambda: list(pages)).codes == (400, "BadParameter", None)


def test_a_version_is_disabled_and_enabled_again(key_client: KeyClient, key: KeyVaultKey) -> None:
    newer = key_client.rotate_key(key.name)
    changed = key_client.update_key_properties(key.name, key.properties.version, enabled=False)
    assert not changed.properties.enabled
    assert not properties(key_client, key)[0]
    assert properties(key_client, newer)[0]
    key_client.update_key_properties(key.name, key.properties.version, enabled=True)
    assert properties(key_client, key)[0]


def test_validity_is_set_in_whole_seconds(key_client: KeyClient, key: KeyVaultKey) -> None:
    start = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    end = start + timedelta(days=400)
    key_client.update_key_properties(key.name, key.properties.version, not_before=start, expires_on=end)
    assert properties(key_client, key)[1:3] == (start, end)


def test_an_update_without_a_version_is_one_of_the_newest(key_client: KeyClient, key: KeyVaultKey) -> None:
    newest = key_client.rotate_key(key.name)
    changed = key_client.update_key_properties(key.name, tags={"newest": "yes"})
    assert changed.id == newest.id
    assert properties(key_client, key)[3] is None


def test_an_update_keeps_what_it_does_not_name(key_client: KeyClient, name: str) -> None:
    end = datetime(2031, 1, 1, tzinfo=UTC)
    made = key_client.create_rsa_key(name, expires_on=end, tags={"a": "b"})
    before = properties(key_client, made)
    key_client.update_key_properties(name, made.properties.version)
    assert properties(key_client, made) == before
    key_client.update_key_properties(name, made.properties.version, key_operations=[KeyOperation.wrap_key])
    assert properties(key_client, made) == (*before[:4], ["wrapKey"])


def test_a_rotation_makes_a_like_version_and_keeps_the_old(key_client: KeyClient, name: str) -> None:
    operations: list[str | KeyOperation] = [KeyOperation.encrypt, KeyOperation.decrypt]
    old = key_client.create_rsa_key(name, size=3072, tags={"a": "b"}, key_operations=operations)
    new = key_client.rotate_key(name)
    assert new.properties.version != old.properties.version
    assert modulus(new) != modulus(old)
    assert len(modulus(new)) == len(modulus(old)) == 3072 // 8
    assert (new.key_operations, new.properties.tags) == (["encrypt", "decrypt"], {"a": "b"})
    assert key_client.get_key(name).id == new.id
    assert modulus(key_client.get_key(name, old.properties.version)) == modulus(old)


@pytest.mark.parametrize("api_version", list(ApiVersion), ids=lambda version: version.value)
def test_every_api_version_of_the_sdk_is_spoken(
    emulator: Emulator, credential: ClientSecretCredential, key: KeyVaultKey, api_version: ApiVersion
) -> None:
    client = KeyClient(emulator.info.vault_url, credential, api_version=api_version, retry_total=0)
    got = client.get_key(key.name)
    assert (got.id, modulus(got)) == (key.id, modulus(key))
    assert [version.id for version in client.list_properties_of_key_versions(key.name)] == [key.id]
    # that attribute is younger than the oldest API
    expected = None if api_version == ApiVersion.V2016_10_01 else 90
    assert got.properties.recoverable_days == expected


def test_an_unknown_api_version_is_refused(emulator: Emulator, credential: ClientSecretCredential) -> None:
    client = KeyClient(emulator.info.vault_url, credential, api_version="7.99-preview", retry_total=0)
    error = refusal(lambda: client.get_key(emulator.info.key_name))
    assert error.codes == (400, "BadParameter", None)
    assert "is not recognized" in error.message

"""Details of Azure that its SDKs and their users come to rely on, and an emulator easily gets wrong."""

import secrets
import socket
import ssl
import uuid

import jwt
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient

from harness.emulator import Emulator
from harness.refusals import refusal


def test_clients_that_follow_rfc_5280_trust_the_certificate(emulator: Emulator) -> None:
    # Python 3.13 and later set this flag by default
    context = ssl.create_default_context(cafile=emulator.info.ca_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    address, _, port = emulator.info.vault_addr.rpartition(":")
    with socket.create_connection((address, int(port)), timeout=10) as stream:
        context.wrap_socket(stream, server_hostname=emulator.info.vault_host).close()


def _claims(credential: ClientSecretCredential) -> dict[str, str]:
    token = credential.get_token("https://vault.azure.net/.default").token
    claims: dict[str, str] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_object_ids_are_guids(credential: ClientSecretCredential) -> None:
    uuid.UUID(_claims(credential)["oid"])


def test_a_refusal_names_the_caller_s_object_id(
    emulator: Emulator, credential: ClientSecretCredential, key_client: KeyClient
) -> None:
    emulator.set_permissions(emulator.info.client_id, "encrypt")
    error = refusal(lambda: key_client.get_key(emulator.info.key_name))
    assert f"oid={_claims(credential)['oid']};" in error.message


def test_listed_versions_show_their_tags(key_client: KeyClient) -> None:
    made = key_client.create_rsa_key(f"tagged-{secrets.token_hex(4)}", tags={"a": "b"})
    assert [listed.tags for listed in key_client.list_properties_of_key_versions(made.name)] == [{"a": "b"}]


def test_keys_are_listed_in_pages(key_client: KeyClient) -> None:
    # there are four keys from the start
    first = next(key_client.list_properties_of_keys(max_page_size=2).by_page())
    assert len(list(first)) == 2


def test_names_of_keys_may_have_any_case(emulator: Emulator, key_client: KeyClient) -> None:
    assert key_client.get_key(emulator.info.key_name.upper()).id.lower().startswith(emulator.info.vault_url)

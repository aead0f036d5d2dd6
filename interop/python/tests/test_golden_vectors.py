"""Committed vectors, made with fixed keys and without the daemon or the emulator, are read for ever.

The emulator cannot import keys: the fixture writes them into the file in which it keeps its own.
"""

import hashlib
from collections.abc import Iterator

import pytest
from azure.keyvault.keys import KeyClient

from conftest import StartDaemon
from go_plugin import FORK, UPSTREAM, GoPlugin, LocalVault, RemoteVault
from harness import vectors
from harness.client import KmsClient
from harness.emulator import Emulator
from harness.stubs import Stubs
from harness.vectors import VectorSet

COMPONENTS = {"cryptography": "made the committed vectors of 2048, 3072 and 4096 bits, which the daemon opens"}

CODECS = {"upstream": UPSTREAM, "fork": FORK}


@pytest.fixture(scope="module", params=vectors.KEY_SIZES, ids=lambda bits: f"rsa{bits}")
def known(request: pytest.FixtureRequest) -> VectorSet:
    """The vectors of one key."""
    return vectors.load(request.param)


@pytest.fixture(scope="module")
def client(known: VectorSet, start_daemon: StartDaemon, stubs: Stubs) -> Iterator[KmsClient]:
    """A client of a daemon with that key."""
    with KmsClient(stubs, start_daemon(known.key).target) as client:
        yield client


def test_the_vectors_hold_both_forms_of_both_apis(known: VectorSet) -> None:
    for form in CODECS:
        assert sum(vector.form == form for vector in known.v1) >= 4
        assert sum(vector.form == form for vector in known.v2) >= 4


def test_the_private_key_alone_opens_every_vector(known: VectorSet) -> None:
    vault = LocalVault(known.key, known.private.public_key(), known.private)
    for v1 in known.v1:
        assert GoPlugin(vault, CODECS[v1.form]).decrypt_v1(v1.cipher) == v1.plaintext
    for v2 in known.v2:
        assert GoPlugin(vault, CODECS[v2.form]).decrypt_v2(v2.sealed) == v2.plaintext


def test_the_vault_opens_every_vector(known: VectorSet, key_client: KeyClient) -> None:
    vault = RemoteVault(key_client, known.key)
    for v1 in known.v1:
        assert GoPlugin(vault, CODECS[v1.form]).decrypt_v1(v1.cipher) == v1.plaintext
    for v2 in known.v2:
        assert GoPlugin(vault, CODECS[v2.form]).decrypt_v2(v2.sealed) == v2.plaintext


def test_the_daemon_opens_every_v1_vector(known: VectorSet, client: KmsClient) -> None:
    for vector in known.v1:
        assert client.decrypt_v1(vector.cipher) == vector.plaintext, vector


def test_the_daemon_opens_every_v2_vector(known: VectorSet, client: KmsClient) -> None:
    for vector in known.v2:
        assert client.decrypt_v2(vector.sealed) == vector.plaintext, vector


def test_the_daemon_reports_the_key_id_of_the_vectors(known: VectorSet, client: KmsClient) -> None:
    assert client.status().key_id == known.key_id
    assert client.encrypt_v2(b"x").key_id == known.key_id
    assert {vector.sealed.key_id for vector in known.v2} == {known.key_id}


def test_the_key_id_is_the_digest_of_the_vault_s_own_name_of_the_key(
    known: VectorSet, emulator: Emulator, key_client: KeyClient
) -> None:
    kid = key_client.get_key(known.key.name, known.key.version).id
    assert kid == f"https://{emulator.info.vault_host}/keys/{known.key.name}/{known.key.version}"
    assert hashlib.sha256(kid.encode()).hexdigest() == known.key_id

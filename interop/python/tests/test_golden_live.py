"""The Go plugin in Python and the daemon read each other's data, and write in the same form."""

import dataclasses
import re
from collections.abc import Iterator
from datetime import datetime

import pytest
from azure.keyvault.keys import KeyClient

from conftest import StartDaemon
from go_plugin import FORK, UPSTREAM, GoPlugin, LocalVault, Refused, RemoteVault
from go_plugin.formats import ALGORITHM_ANNOTATION, FORMAT_ANNOTATION, HEADER_ANNOTATIONS
from harness import vectors
from harness.client import KmsClient, Sealed
from harness.stubs import Stubs

COMPONENTS = {
    "azure-keyvault-keys": "reads what the daemon wrote and writes what it reads, in the Go plugin's formats",
    "cryptography": "seals with the public key alone what the daemon opens",
}

# A data key, kube-apiserver's probe, one to three bytes (the ends of base64), and what is no text.
PLAINTEXTS = [bytes(range(32)), b"ping", b"\x00", b"\xff\xff", b"\x00\x00\x00", b"\xff\xfe\x00\x80" * 11]
every_plaintext = pytest.mark.parametrize("plaintext", PLAINTEXTS, ids=lambda plaintext: plaintext.hex()[:16])

DATE, REQUEST_ID, REGION = HEADER_ANNOTATIONS
# spelt out once more, so that an error in go_plugin does not pass unseen
ANNOTATIONS = {
    "date.azure.akv.io",
    "x-ms-request-id.azure.akv.io",
    "x-ms-keyvault-region.azure.akv.io",
    "version.azure.akv.io",
    "algorithm.azure.akv.io",
}
TEXT_LENGTH = {2048: 342, 3072: 512, 4096: 683}
BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")
GUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclasses.dataclass(frozen=True)
class Pair:
    """The daemon, and the Go plugin in three shapes, all with one key."""

    bits: int
    daemon: KmsClient
    go: GoPlugin
    fork: GoPlugin
    offline: GoPlugin


@pytest.fixture(scope="module", params=vectors.KEY_SIZES, ids=lambda bits: f"rsa{bits}")
def pair(
    request: pytest.FixtureRequest, start_daemon: StartDaemon, stubs: Stubs, key_client: KeyClient
) -> Iterator[Pair]:
    """One for each key size."""
    known = vectors.load(request.param)
    remote = RemoteVault(key_client, known.key)
    offline = LocalVault(known.key, known.private.public_key())
    with KmsClient(stubs, start_daemon(known.key).target) as client:
        yield Pair(known.bits, client, GoPlugin(remote), GoPlugin(remote, FORK), GoPlugin(offline, UPSTREAM))


@every_plaintext
def test_the_daemon_opens_what_the_go_plugin_sealed(pair: Pair, plaintext: bytes) -> None:
    assert pair.daemon.decrypt_v1(pair.go.encrypt_v1(plaintext)) == plaintext
    assert pair.daemon.decrypt_v2(pair.go.encrypt_v2(plaintext)) == plaintext


@every_plaintext
def test_the_daemon_opens_what_was_sealed_with_the_public_key_alone(pair: Pair, plaintext: bytes) -> None:
    assert pair.daemon.decrypt_v1(pair.offline.encrypt_v1(plaintext)) == plaintext
    assert pair.daemon.decrypt_v2(pair.offline.encrypt_v2(plaintext)) == plaintext


@every_plaintext
def test_the_daemon_opens_what_the_openshift_fork_sealed(pair: Pair, plaintext: bytes) -> None:
    cipher, sealed = pair.fork.encrypt_v1(plaintext), pair.fork.encrypt_v2(plaintext)
    assert len(cipher) == len(sealed.ciphertext) == pair.bits // 8
    assert pair.daemon.decrypt_v1(cipher) == plaintext
    assert pair.daemon.decrypt_v2(sealed) == plaintext


@every_plaintext
def test_the_go_plugin_opens_what_the_daemon_sealed(pair: Pair, plaintext: bytes) -> None:
    assert pair.go.decrypt_v1(pair.daemon.encrypt_v1(plaintext)) == plaintext
    assert pair.go.decrypt_v2(pair.daemon.encrypt_v2(plaintext)) == plaintext


def test_both_report_the_same_status(pair: Pair) -> None:
    assert pair.daemon.status() == pair.go.status()
    assert pair.daemon.status().version == "v2beta1"


def test_both_write_ciphertexts_of_the_same_length_and_alphabet(pair: Pair) -> None:
    for plugin in (pair.daemon, pair.go):
        for ciphertext in (plugin.encrypt_v1(b"x"), plugin.encrypt_v2(b"x").ciphertext):
            assert len(ciphertext) == TEXT_LENGTH[pair.bits]
            assert BASE64URL.fullmatch(ciphertext)


def test_both_write_exactly_the_five_annotations_in_the_same_form(pair: Pair) -> None:
    ours, theirs = pair.daemon.encrypt_v2(b"x"), pair.go.encrypt_v2(b"x")
    assert ours.key_id == theirs.key_id
    assert set(ours.annotations) == set(theirs.annotations) == ANNOTATIONS
    for name in (FORMAT_ANNOTATION, ALGORITHM_ANNOTATION, REGION):
        assert ours.annotations[name] == theirs.annotations[name]
    for sealed in (ours, theirs):
        assert GUID.fullmatch(sealed.annotations[REQUEST_ID])
        _http_date(sealed)
    assert ours.annotations[REQUEST_ID] != theirs.annotations[REQUEST_ID]


def test_equal_plaintexts_are_sealed_to_unequal_ciphertexts(pair: Pair) -> None:
    assert pair.daemon.encrypt_v1(b"x") != pair.daemon.encrypt_v1(b"x")
    assert pair.daemon.encrypt_v2(b"x").ciphertext != pair.daemon.encrypt_v2(b"x").ciphertext


def test_the_go_plugin_s_own_checks_refuse_what_is_altered(pair: Pair) -> None:
    sealed = pair.daemon.encrypt_v2(b"x")
    other_format = {**sealed.annotations, FORMAT_ANNOTATION: b"2"}
    other_algorithm = {**sealed.annotations, ALGORITHM_ANNOTATION: b"RSA1_5"}
    for altered, reason in (
        (dataclasses.replace(sealed, key_id="0" * 64), "key_id"),
        (dataclasses.replace(sealed, annotations={}), "there are no annotations"),
        (dataclasses.replace(sealed, annotations=other_format), FORMAT_ANNOTATION),
        (dataclasses.replace(sealed, annotations=other_algorithm), ALGORITHM_ANNOTATION),
    ):
        with pytest.raises(Refused, match=reason):
            pair.go.decrypt_v2(altered)


def _http_date(sealed: Sealed) -> datetime:
    """RFC 9110 §5.6.7, the preferred form."""
    text = sealed.annotations[DATE].decode("ascii")
    return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT")

"""What can never work is refused as INVALID_ARGUMENT, with a message that says what is wrong."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import pytest

from conftest import StartDaemon
from go_plugin.formats import ALGORITHM_ANNOTATION, FORMAT_ANNOTATION, HEADER_ANNOTATIONS
from harness import vectors
from harness.client import KmsClient, Sealed
from harness.stubs import Stubs

COMPONENTS = {"grpcio": "INVALID_ARGUMENT for what can never work"}

MESSAGE_LIMIT = 128 * 1024
# RFC 8017: the size of the modulus less 11 (PKCS #1 v1.5), and less 66 (OAEP with SHA-256).
LONGEST = {bits: (bits // 8 - 11, bits // 8 - 66) for bits in vectors.KEY_SIZES}


def refusal(call: Callable[[], Any]) -> str:
    """The message of a call that must be refused."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value
    return str(caught.value.details())


def with_annotation(sealed: Sealed, name: str, value: bytes) -> Sealed:
    """The same with another value there."""
    return dataclasses.replace(sealed, annotations={**sealed.annotations, name: value})


def without_annotation(sealed: Sealed, name: str) -> Sealed:
    """The same without that annotation."""
    rest = {other: value for other, value in sealed.annotations.items() if other != name}
    return dataclasses.replace(sealed, annotations=rest)


def test_an_empty_plaintext_is_refused(client: KmsClient) -> None:
    assert "plaintext is empty" in refusal(lambda: client.encrypt_v1(b""))
    assert "plaintext is empty" in refusal(lambda: client.encrypt_v2(b""))


def test_an_empty_ciphertext_is_refused(client: KmsClient) -> None:
    sealed = dataclasses.replace(client.encrypt_v2(b"x"), ciphertext=b"")
    assert "ciphertext is empty" in refusal(lambda: client.decrypt_v1(b""))
    assert "ciphertext is empty" in refusal(lambda: client.decrypt_v2(sealed))


@pytest.mark.parametrize("bits", vectors.KEY_SIZES)
def test_the_longest_plaintext_is_sealed_and_one_byte_more_is_refused_with_the_limit(
    start_daemon: StartDaemon, stubs: Stubs, bits: int
) -> None:
    longest_v1, longest_v2 = LONGEST[bits]
    with KmsClient(stubs, start_daemon(vectors.load(bits).key).target) as client:
        assert client.decrypt_v1(client.encrypt_v1(b"\xff" * longest_v1)) == b"\xff" * longest_v1
        assert client.decrypt_v2(client.encrypt_v2(b"\xff" * longest_v2)) == b"\xff" * longest_v2
        message = refusal(lambda: client.encrypt_v1(b"\xff" * (longest_v1 + 1)))
        assert f"the {longest_v1} bytes that RSA1_5 allows" in message
        message = refusal(lambda: client.encrypt_v2(b"\xff" * (longest_v2 + 1)))
        assert f"the {longest_v2} bytes that RSA-OAEP-256 allows" in message


def test_a_request_beyond_128_kib_is_refused_with_that_limit(client: KmsClient) -> None:
    for oversize in (bytes(MESSAGE_LIMIT), bytes(8 * MESSAGE_LIMIT)):
        sealed = dataclasses.replace(client.encrypt_v2(b"x"), ciphertext=oversize)
        for call in (
            functools.partial(client.encrypt_v1, oversize),
            functools.partial(client.decrypt_v1, oversize),
            functools.partial(client.encrypt_v2, oversize),
            functools.partial(client.decrypt_v2, sealed),
        ):
            assert f"limit of {MESSAGE_LIMIT} bytes" in refusal(call)


def test_a_request_of_128_kib_is_read_and_one_byte_more_is_not(client: KmsClient) -> None:
    about = MESSAGE_LIMIT - 100
    overhead = client.v2_encrypt_request(bytes(about)).ByteSize() - about
    largest = bytes(MESSAGE_LIMIT - overhead)
    assert "190 bytes" in refusal(lambda: client.encrypt_v2(largest))
    assert f"limit of {MESSAGE_LIMIT} bytes" in refusal(lambda: client.encrypt_v2(largest + b"x"))


def test_the_connection_lives_on_after_an_oversize_request(client: KmsClient) -> None:
    refusal(lambda: client.encrypt_v2(bytes(8 * MESSAGE_LIMIT)))
    assert client.decrypt_v2(client.encrypt_v2(b"still here")) == b"still here"


@pytest.mark.parametrize("key_id", ["", "0" * 64, "https://emulator.vault.azure.net/keys/k8s"])
def test_an_unknown_key_id_is_refused(client: KmsClient, key_id: str) -> None:
    sealed = dataclasses.replace(client.encrypt_v2(b"x"), key_id=key_id)
    assert "key_id" in refusal(lambda: client.decrypt_v2(sealed))


def test_a_key_id_in_upper_case_is_another_key_id(client: KmsClient) -> None:
    sealed = client.encrypt_v2(b"x")
    sealed = dataclasses.replace(sealed, key_id=sealed.key_id.upper())
    assert "key_id" in refusal(lambda: client.decrypt_v2(sealed))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (ALGORITHM_ANNOTATION, b"RSA1_5"),
        (ALGORITHM_ANNOTATION, b"rsa-oaep-256"),
        (ALGORITHM_ANNOTATION, b""),
        (FORMAT_ANNOTATION, b"2"),
        (FORMAT_ANNOTATION, b"v1"),
        (FORMAT_ANNOTATION, b""),
    ],
)
def test_an_altered_annotation_is_refused_by_its_name(client: KmsClient, name: str, value: bytes) -> None:
    altered = with_annotation(client.encrypt_v2(b"x"), name, value)
    assert name in refusal(lambda: client.decrypt_v2(altered))


@pytest.mark.parametrize("name", [ALGORITHM_ANNOTATION, FORMAT_ANNOTATION])
def test_a_missing_annotation_is_refused_by_its_name(client: KmsClient, name: str) -> None:
    altered = without_annotation(client.encrypt_v2(b"x"), name)
    assert name in refusal(lambda: client.decrypt_v2(altered))


def test_a_request_without_annotations_is_refused(client: KmsClient) -> None:
    annotations: Mapping[str, bytes] = {}
    sealed = dataclasses.replace(client.encrypt_v2(b"x"), annotations=annotations)
    assert "annotations" in refusal(lambda: client.decrypt_v2(sealed))


@pytest.mark.parametrize("name", list(HEADER_ANNOTATIONS))
def test_annotations_that_only_inform_are_not_checked(client: KmsClient, name: str) -> None:
    sealed = client.encrypt_v2(b"x")
    assert client.decrypt_v2(without_annotation(sealed, name)) == b"x"
    assert client.decrypt_v2(with_annotation(sealed, name, b"elsewhere")) == b"x"


def test_an_annotation_beyond_the_known_ones_does_no_harm(client: KmsClient) -> None:
    sealed = with_annotation(client.encrypt_v2(b"x"), "other.azure.akv.io", b"1")
    assert client.decrypt_v2(sealed) == b"x"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text + b"A",
        lambda text: b"\n" + text[1:],
        lambda text: text[:-2] + b"==",
        lambda text: b"k8s:enc:kms:v1:" + text,
        lambda text: text + b"==",
        lambda text: b"+/" + text[2:],
    ],
    ids=["short", "long", "line break", "padding inside", "prefix", "padded", "standard base64"],
)
def test_text_that_is_not_the_plugin_s_is_refused_with_its_length(
    client: KmsClient, spoil: Callable[[bytes], bytes]
) -> None:
    spoiled = spoil(client.encrypt_v1(b"x"))
    assert f"{len(spoiled)} bytes" in refusal(lambda: client.decrypt_v1(spoiled))


def test_a_ciphertext_of_the_other_api_is_refused(start_daemon: StartDaemon, stubs: Stubs) -> None:
    # fixed ciphertexts: one of OAEP is by chance well-formed PKCS #1 v1.5 in about 1 of 400 cases
    known = vectors.load(2048)
    v1, v2 = known.v1[0], known.v2[0]
    with KmsClient(stubs, start_daemon(known.key).target) as client:
        refusal(lambda: client.decrypt_v1(v2.sealed.ciphertext))
        refusal(lambda: client.decrypt_v2(dataclasses.replace(v2.sealed, ciphertext=v1.cipher)))


def test_a_ciphertext_of_another_key_is_refused(client: KmsClient) -> None:
    foreign = vectors.load(2048).v2[0].sealed.ciphertext
    sealed = dataclasses.replace(client.encrypt_v2(b"x"), ciphertext=foreign)
    assert "does not fit this key" in refusal(lambda: client.decrypt_v2(sealed))

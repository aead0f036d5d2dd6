"""Encrypt, decrypt, wrap and unwrap by azure-keyvault-keys in the emulator agree with `cryptography`.

The SDK uses the public key on its own machine when it may read it. Here it may not, so all goes to the vault.
"""

import dataclasses
import functools
import secrets
from collections.abc import Iterator

import pytest
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient, KeyVaultKey
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm

from go_plugin.vaults import scheme
from harness import vectors
from harness.emulator import Emulator
from harness.refusals import refusal
from harness.vectors import VectorSet

COMPONENTS = {
    "azure-keyvault-keys": "encrypt, decrypt, wrap and unwrap with RSA1_5, RSA-OAEP and RSA-OAEP-256",
    "cryptography": "opens what the vault sealed and the other way round, for each algorithm and key size",
}

OPERATIONS = ["encrypt", "decrypt", "wrapKey", "unwrapKey"]
# RFC 8017: what the padding takes at least.
OVERHEAD = {"RSA1_5": 11, "RSA-OAEP": 42, "RSA-OAEP-256": 66}
ALGORITHMS = list(OVERHEAD)
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


@pytest.fixture(scope="module", params=vectors.KEY_SIZES, ids=lambda bits: f"rsa{bits}")
def known(request: pytest.FixtureRequest) -> VectorSet:
    """A key whose private half is known."""
    return vectors.load(request.param)


@dataclasses.dataclass(frozen=True)
class Remote:
    """Azure's client, cut off from the public key."""

    client: CryptographyClient
    emulator: Emulator

    def encrypt(self, algorithm: str, plaintext: bytes) -> bytes:
        """In the vault."""
        with self._one("encrypt"):
            return self.client.encrypt(EncryptionAlgorithm(algorithm), plaintext).ciphertext

    def decrypt(self, algorithm: str, ciphertext: bytes) -> bytes:
        """In the vault."""
        with self._one("decrypt"):
            return self.client.decrypt(EncryptionAlgorithm(algorithm), ciphertext).plaintext

    def wrap(self, algorithm: str, key: bytes) -> bytes:
        """In the vault."""
        with self._one("wrapKey"):
            return self.client.wrap_key(KeyWrapAlgorithm(algorithm), key).encrypted_key

    def unwrap(self, algorithm: str, encrypted_key: bytes) -> bytes:
        """In the vault."""
        with self._one("unwrapKey"):
            return self.client.unwrap_key(KeyWrapAlgorithm(algorithm), encrypted_key).key

    def _one(self, operation: str) -> "_OneCall":
        return _OneCall(self.emulator, operation)


class _OneCall:
    """Checks that the vault has seen one such call more."""

    def __init__(self, emulator: Emulator, operation: str) -> None:
        self._count = lambda: emulator.calls(emulator.info.client_id, operation)

    def __enter__(self) -> None:
        self._before = self._count()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            assert self._count() == self._before + 1


@pytest.fixture
def remote(emulator: Emulator, credential: ClientSecretCredential, known: VectorSet) -> Iterator[Remote]:
    """May use the key, and not read it."""
    emulator.set_permissions(emulator.info.client_id, *OPERATIONS)
    with CryptographyClient(known.key.url, credential, retry_total=0) as client:
        yield Remote(client, emulator)


@every_algorithm
def test_what_the_vault_encrypts_the_private_key_opens(
    remote: Remote, known: VectorSet, algorithm: str
) -> None:
    plaintext = secrets.token_bytes(32)
    ciphertext = remote.encrypt(algorithm, plaintext)
    assert len(ciphertext) == known.bits // 8
    assert known.private.decrypt(ciphertext, scheme(algorithm)) == plaintext
    wrapped = remote.wrap(algorithm, plaintext)
    assert known.private.decrypt(wrapped, scheme(algorithm)) == plaintext


@every_algorithm
def test_what_the_public_key_seals_the_vault_opens(remote: Remote, known: VectorSet, algorithm: str) -> None:
    plaintext = secrets.token_bytes(32)
    ciphertext = known.private.public_key().encrypt(plaintext, scheme(algorithm))
    assert remote.decrypt(algorithm, ciphertext) == plaintext
    assert remote.unwrap(algorithm, ciphertext) == plaintext


@every_algorithm
def test_wrap_and_encrypt_are_the_same_operation(remote: Remote, algorithm: str) -> None:
    plaintext = secrets.token_bytes(32)
    assert remote.decrypt(algorithm, remote.wrap(algorithm, plaintext)) == plaintext
    assert remote.unwrap(algorithm, remote.encrypt(algorithm, plaintext)) == plaintext


@every_algorithm
def test_the_vault_takes_what_fits_the_padding_and_no_byte_more(
    remote: Remote, known: VectorSet, algorithm: str
) -> None:
    longest = secrets.token_bytes(known.bits // 8 - OVERHEAD[algorithm])
    assert remote.decrypt(algorithm, remote.encrypt(algorithm, longest)) == longest
    for refused in (remote.encrypt, remote.wrap):
        error = refusal(functools.partial(refused, algorithm, longest + b"x"))
        assert error.codes == (400, "BadParameter", None)


@pytest.mark.parametrize(
    ("sealed_with", "opened_with"),
    # not from OAEP to PKCS #1 v1.5: that is by chance well-formed in about 1 of 400 cases
    [("RSA1_5", "RSA-OAEP-256"), ("RSA-OAEP", "RSA-OAEP-256"), ("RSA-OAEP-256", "RSA-OAEP")],
)
def test_only_the_algorithm_that_sealed_opens(remote: Remote, sealed_with: str, opened_with: str) -> None:
    ciphertext = remote.encrypt(sealed_with, b"x")
    error = refusal(lambda: remote.decrypt(opened_with, ciphertext))
    assert error.codes == (400, "BadParameter", None)


@every_algorithm
def test_all_broken_ciphertexts_fail_alike(remote: Remote, known: VectorSet, algorithm: str) -> None:
    # a fixed ciphertext, since a random one may by chance be well-formed
    whole = next(vector.cipher for vector in known.v1 if vector.form == "fork")
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    for broken in (b"", b"x", bytes(len(whole)), b"\xff" * len(whole), flipped, whole[:-1], whole + b"x"):
        error = refusal(functools.partial(remote.decrypt, algorithm, broken))
        assert error.codes == (400, "BadParameter", None)
        assert error.message == "The parameter is incorrect.\r\n"


def test_the_sdk_works_on_its_own_machine_when_it_may_read_the_key(
    emulator: Emulator, credential: ClientSecretCredential, key_client: KeyClient, known: VectorSet
) -> None:
    client = CryptographyClient(key_client.get_key(known.key.name), credential, retry_total=0)
    before = emulator.calls(emulator.info.client_id, "encrypt")
    ciphertext = client.encrypt(EncryptionAlgorithm.rsa_oaep_256, b"local").ciphertext
    assert emulator.calls(emulator.info.client_id, "encrypt") == before
    assert client.decrypt(EncryptionAlgorithm.rsa_oaep_256, ciphertext).plaintext == b"local"


def test_a_version_opens_what_it_sealed_and_no_other_version_does(
    key_client: KeyClient, emulator: Emulator, credential: ClientSecretCredential
) -> None:
    old = key_client.create_rsa_key(f"rotated-{secrets.token_hex(4)}")
    new = key_client.rotate_key(old.name)
    emulator.set_permissions(emulator.info.client_id, *OPERATIONS)
    sealed = _client(old, credential).encrypt(EncryptionAlgorithm.rsa_oaep_256, b"x")
    assert sealed.key_id == old.id
    opened = _client(old, credential).decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed.ciphertext)
    assert opened.plaintext == b"x"
    with_new = _client(new, credential)
    error = refusal(lambda: with_new.decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed.ciphertext))
    assert error.codes == (400, "BadParameter", None)


def _client(key: KeyVaultKey, credential: ClientSecretCredential) -> CryptographyClient:
    return CryptographyClient(key.id, credential, retry_total=0)

"""PyJWT and `cryptography` check what the daemon shows Entra ID in place of a secret: a certificate's assertion."""

import base64
import dataclasses
import hashlib
import time
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from conftest import StartProxied
from harness.client import KmsClient
from harness.emulator import Emulator, Info
from harness.process import REPOSITORY
from harness.proxy import Proxy, Target
from harness.stubs import Stubs

COMPONENTS = {
    "PyJWT": "client assertions of the daemon: PS256 and RS256, and their claims",
    "cryptography": "thumbprints and chains of client certificates in PKCS#12 and PEM",
}

FOLDER = REPOSITORY / "tests" / "certificates"
PASSWORD = "p4ss w0rd"
# What Entra ID allows.
LONGEST_S = 600
# Two programs on one machine have one clock; a token request takes a moment.
PATIENCE_S = 60
CLAIMS = {"aud", "iss", "sub", "jti", "iat", "nbf", "exp"}
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A file of the repository, read without the daemon's code."""

    name: str
    # that of the key first
    chain: list[x509.Certificate]
    fields: dict[str, str]

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        """Checks what the file's private key signs."""
        key = self.chain[0].public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    @property
    def der(self) -> list[bytes]:
        """The chain, encoded."""
        return [certificate.public_bytes(Encoding.DER) for certificate in self.chain]


def from_pem(name: str) -> Certificate:
    """A key and its chain."""
    path = FOLDER / name
    return Certificate(
        name, x509.load_pem_x509_certificates(path.read_bytes()), {"aadClientCertPath": str(path)}
    )


def from_pfx(name: str) -> Certificate:
    """PKCS#12 under the usual password."""
    path = FOLDER / name
    _, own, others = pkcs12.load_key_and_certificates(path.read_bytes(), PASSWORD.encode())
    assert own is not None
    fields = {"aadClientCertPath": str(path), "aadClientCertPassword": PASSWORD}
    return Certificate(name, [own, *others], fields)


CERTIFICATES = [from_pfx("modern.pfx"), from_pem("chain.pem")]
CHAINS = [from_pfx("chain.pfx"), from_pem("chain.pem")]
every_certificate = pytest.mark.parametrize("certificate", CERTIFICATES, ids=lambda file: file.name)
every_chain = pytest.mark.parametrize("certificate", CHAINS, ids=lambda file: file.name)


def audience(info: Info) -> str:
    """The token endpoint, as it is called without a proxy."""
    return f"https://{info.authority_host}/{info.tenant_id}/oauth2/v2.0/token"


def verified(info: Info, certificate: Certificate, assertion: str, algorithm: str) -> dict[str, Any]:
    """The claims, after all checks that Entra ID makes."""
    claims: dict[str, Any] = jwt.decode(
        assertion,
        certificate.public_key,
        algorithms=[algorithm],
        audience=audience(info),
        issuer=info.client_id,
        subject=info.client_id,
        options={"require": sorted(CLAIMS)},
    )
    return claims


def base64url(data: bytes) -> str:
    """Without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def first_assertion(proxy: Proxy) -> str:
    """That of the oldest request for a token."""
    return proxy.asked(Target.ENTRA_ID)[0].assertion


@every_certificate
def test_an_assertion_is_signed_with_ps256_and_names_the_certificate_by_sha256(
    emulator: Emulator, proxy: Proxy, start_proxied: StartProxied, certificate: Certificate
) -> None:
    start_proxied(certificate.fields)
    assertion = first_assertion(proxy)
    verified(emulator.info, certificate, assertion, "PS256")
    thumbprint = base64url(hashlib.sha256(certificate.der[0]).digest())
    assert jwt.get_unverified_header(assertion) == {"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint}


@every_certificate
def test_an_assertion_is_signed_with_rs256_and_names_the_certificate_by_sha1_on_demand(
    emulator: Emulator, proxy: Proxy, start_proxied: StartProxied, certificate: Certificate
) -> None:
    start_proxied(certificate.fields, "--client-assertion=RS256")
    assertion = first_assertion(proxy)
    verified(emulator.info, certificate, assertion, "RS256")
    thumbprint = base64url(hashlib.sha1(certificate.der[0], usedforsecurity=False).digest())
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "typ": "JWT", "x5t": thumbprint}


@every_chain
@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_the_chain_goes_with_the_assertion_on_demand(
    emulator: Emulator,
    proxy: Proxy,
    start_proxied: StartProxied,
    certificate: Certificate,
    algorithm: str,
) -> None:
    start_proxied(certificate.fields, "--send-certificate-chain", f"--client-assertion={algorithm}")
    assertion = first_assertion(proxy)
    verified(emulator.info, certificate, assertion, algorithm)
    sent = [base64.b64decode(entry, validate=True) for entry in jwt.get_unverified_header(assertion)["x5c"]]
    assert sent == certificate.der
    leaf, root = (x509.load_der_x509_certificate(der) for der in sent)
    leaf.verify_directly_issued_by(root)


def test_an_assertion_is_valid_for_ten_minutes_at_most_and_already_now(
    emulator: Emulator, proxy: Proxy, start_proxied: StartProxied
) -> None:
    start_proxied(CERTIFICATES[0].fields)
    claims = verified(emulator.info, CERTIFICATES[0], first_assertion(proxy), "PS256")
    assert set(claims) == CLAIMS
    assert 0 < claims["exp"] - claims["nbf"] <= LONGEST_S
    assert claims["nbf"] == claims["iat"]
    assert abs(time.time() - claims["iat"]) < PATIENCE_S


def test_each_token_is_asked_for_with_an_assertion_of_its_own(
    emulator: Emulator, proxy: Proxy, start_proxied: StartProxied, stubs: Stubs
) -> None:
    daemon = start_proxied(CERTIFICATES[0].fields)
    emulator.revoke_tokens()
    with KmsClient(stubs, daemon.target) as client:
        assert client.decrypt_v2(client.encrypt_v2(b"x")) == b"x"
    first, *others = (
        verified(emulator.info, CERTIFICATES[0], request.assertion, "PS256")["jti"]
        for request in proxy.asked(Target.ENTRA_ID)
    )
    assert others
    assert first not in others


def test_another_certificate_s_key_does_not_pass_for_it(
    emulator: Emulator, proxy: Proxy, start_proxied: StartProxied
) -> None:
    start_proxied(CERTIFICATES[0].fields)
    other = from_pem("other-certificate.pem")
    with pytest.raises(jwt.InvalidSignatureError):
        verified(emulator.info, other, first_assertion(proxy), "PS256")


@every_certificate
def test_a_token_is_asked_for_with_an_assertion_in_place_of_a_secret(
    emulator: Emulator, proxy: Proxy, start_proxied: StartProxied, certificate: Certificate
) -> None:
    start_proxied(certificate.fields)
    request = proxy.asked(Target.ENTRA_ID)[0]
    assert (request.method, request.path) == ("POST", f"/{emulator.info.tenant_id}/oauth2/v2.0/token")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form == {
        "grant_type": "client_credentials",
        "client_id": emulator.info.client_id,
        "scope": "https://vault.azure.net/.default",
        "client_assertion_type": JWT_BEARER,
        "client_assertion": request.assertion,
    }


@every_certificate
def test_neither_password_nor_assertion_is_logged(
    proxy: Proxy, start_proxied: StartProxied, certificate: Certificate
) -> None:
    daemon = start_proxied(certificate.fields, "--v=10")
    assertion = first_assertion(proxy)
    assert "client certificate" in daemon.log()
    for part in (PASSWORD, *assertion.split(".")):
        assert part not in daemon.log()

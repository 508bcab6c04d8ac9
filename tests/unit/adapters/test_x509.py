"""What `certs:add` may bring: a readable, matching, ordered, unencrypted pair; everything else is refused."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from paas.adapters.x509 import X509Certificates
from paas.errors import BadInput

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(key, subject="leaf", issuer="leaf", signer=None, hosts=("www.example.com",)):
    builder = x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), 1, NOW - DAY, NOW + DAY)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False)
    made = builder.sign(signer or key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM)


def pem(key, encryption=None, format=PrivateFormat.PKCS8):
    return key.private_bytes(Encoding.PEM, format, encryption or NoEncryption())


@pytest.fixture(scope="module")
def keys():
    return ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def read(data):
    return X509Certificates().read(data)


def refused(data, word):
    with pytest.raises(BadInput) as caught:
        read(data)
    assert word in caught.value.what
    return caught.value


@pytest.mark.parametrize("format", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_chain_and_its_key(keys, format):
    leaf_key, ca_key = keys
    chain = certificate(leaf_key, issuer="ca", signer=ca_key, hosts=("A.example.com", "*.b.example.com"))
    chain += certificate(ca_key, "ca", "ca")
    pair = read(b"Subject: a note\n" + chain + pem(leaf_key, format=format))
    assert pair.names == ("a.example.com", "*.b.example.com")
    assert (pair.issuer, pair.not_before, pair.not_after) == ("ca", NOW - DAY, NOW + DAY)
    assert pair.chain.encode() == chain
    assert "PRIVATE" in pair.key.reveal()
    assert "PRIVATE" not in pair.chain
    assert len(pair.fingerprint) == 64


def test_key_first_and_a_block_of_parameters_are_fine(keys):
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert read(parameters + pem(keys[0]) + certificate(keys[0])).names == ("www.example.com",)


def test_the_key_of_another_certificate(keys):
    refused(certificate(keys[0]) + pem(keys[1]), "does not belong")


def test_an_encrypted_key(keys):
    for format in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        error = refused(certificate(keys[0]) + pem(keys[0], BestAvailableEncryption(b"word"), format), "encrypted")
        assert "openssl" in error.hint


def test_a_chain_in_the_wrong_order(keys):
    leaf_key, ca_key = keys
    leaf, other = certificate(leaf_key, issuer="ca", signer=ca_key), certificate(leaf_key, "x", "x")
    refused(leaf + other + pem(leaf_key), "did not sign")


def test_no_names(keys):
    refused(certificate(keys[0], hosts=()) + pem(keys[0]), "names no host")


def test_a_weak_key():
    key = rsa.generate_private_key(65537, 1024)
    refused(certificate(key) + pem(key), "browsers refuse")


@pytest.mark.parametrize("extra", ["key", "request", "nothing", "garbage"])
def test_what_does_not_belong(keys, extra):
    good = certificate(keys[0]) + pem(keys[0])
    request = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    data = {"key": good + pem(keys[1]), "request": good + request, "nothing": b"", "garbage": broken + pem(keys[0])}
    with pytest.raises(BadInput):
        read(data[extra])


def test_messages_never_quote_the_key(keys):
    body = pem(keys[0]).splitlines()[1]
    torn = b"-----BEGIN PRIVATE KEY-----\n" + body[:-4] + b"\n-----END PRIVATE KEY-----\n"
    error = refused(certificate(keys[0]) + torn, "not readable")
    assert body[:10].decode() not in error.what + error.hint

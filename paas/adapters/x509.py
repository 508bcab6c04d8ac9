"""Certificates as `certs:add` gets them, read by the `cryptography` library (RFC 5280, RFC 7468)."""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from paas.errors import BadInput
from paas.model import names
from paas.ports import KeyPair
from paas.secret import Secret

BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n.*?-----END \1-----", re.DOTALL)
KEYS = frozenset({b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"})
MAX_CHAIN = 10


class X509Certificates:
    """Implements :class:`paas.ports.Certificates`."""

    def read(self, pem: bytes) -> KeyPair:
        chain, key_pem = _blocks(pem)
        key = _private_key(key_pem)
        certificates = [_certificate(block) for block in chain]
        leaf = certificates[0]
        if _spki(key.public_key()) != _spki(leaf.public_key()):
            raise BadInput("the private key does not belong to the first certificate",
                           "Put the server's own certificate first, then its chain, and send the key it was made with.")
        _check_order(certificates)
        return KeyPair(
            chain="".join(one.public_bytes(Encoding.PEM).decode() for one in certificates),
            key=Secret(key_pem.decode("ascii") + "\n"), names=_host_names(leaf), issuer=_issuer(leaf),
            not_before=leaf.not_valid_before_utc, not_after=leaf.not_valid_after_utc,
            fingerprint=leaf.fingerprint(hashes.SHA256()).hex())


def _blocks(pem: bytes) -> tuple[list[bytes], bytes]:
    """(certificates, the one private key); anything else that is PEM is refused but EC PARAMETERS."""
    chain, keys = [], []
    for match in BLOCK.finditer(pem):
        label = match[1]
        if label == b"CERTIFICATE":
            chain.append(match[0] + b"\n")
        elif label in KEYS:
            keys.append(match[0])
        elif label != b"EC PARAMETERS":
            raise BadInput(f"a '{label.decode()}' does not belong here",
                           "Send the certificate, its chain and its private key, nothing else.")
    if len(chain) not in range(1, MAX_CHAIN + 1) or len(keys) != 1:
        raise BadInput(f"this holds {len(chain)} certificates and {len(keys)} private keys",
                       "Send the certificate, its chain and exactly one private key, as PEM.")
    return chain, keys[0]


def _private_key(pem: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise BadInput("the private key is encrypted", "Decrypt it first: openssl pkey -in KEY -out PLAIN") from None
    except Exception:                    # the library's own family is wide, and its texts may quote the key
        raise BadInput("the private key is not readable") from None
    weak = isinstance(key, rsa.RSAPrivateKey) and key.key_size < 2048
    if weak or not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)):
        raise BadInput("the private key is of a kind that browsers refuse", "Use ECDSA, or RSA with 2048 bits or more.")
    return key


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise BadInput("a certificate is not readable") from None


def _spki(key) -> bytes:
    try:
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception:
        raise BadInput("the certificate's public key is of a kind that is not supported") from None


def _check_order(chain: list[x509.Certificate]) -> None:
    """Each certificate is signed by the next one (RFC 8446, section 4.4.2)."""
    for place, (one, signer) in enumerate(zip(chain, chain[1:], strict=False), 1):
        try:
            one.verify_directly_issued_by(signer)
        except (ValueError, TypeError, InvalidSignature):
            raise BadInput(f"certificate {place + 1} of the chain did not sign certificate {place}",
                           "Order them: the server's own first, then the one that signed it, and so on.") from None


def _host_names(leaf: x509.Certificate) -> tuple[str, ...]:
    """The DNS names; the subject's common name has not counted for years (RFC 9110, section 4.3.4)."""
    try:
        given = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = tuple(dict.fromkeys(name.lower() for name in given.get_values_for_type(x509.DNSName)))
    except (x509.ExtensionNotFound, ValueError):
        found = ()
    if not found:
        raise BadInput("the certificate names no host", "It needs a subjectAltName with the app's domains.")
    return tuple(names.printable(name, 253) for name in found)


def _issuer(leaf: x509.Certificate) -> str:
    for attribute in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        found = leaf.issuer.get_attributes_for_oid(attribute)
        if found:
            return names.printable(str(found[0].value))
    return ""

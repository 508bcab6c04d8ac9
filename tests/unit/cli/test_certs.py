"""The commands of certificates: what is not fit is refused, and the one before is served on."""

import datetime
import io
import tarfile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from paas.cli.base import Local
from paas.errors import ProxyError
from tests.flow.over_fakes import ALICE

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)         # the time of the fake clock
DAY = datetime.timedelta(days=1)


def pair(hosts=("hello.apps.example.com",), begin=NOW - DAY, end=NOW + DAY):
    """(certificate, key), self-signed, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test CA")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, end).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False).sign(key, hashes.SHA256())
    return (made.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def tar(**members):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/shadow"
                out.addfile(info)
            else:
                info.size = len(data)
                out.addfile(info, io.BytesIO(data))
    return made.getvalue()


def served(desk):
    """The certificate that the proxy was given."""
    return desk.site().certificate


def test_add_report_remove(desk):
    chain, key = pair()
    said = desk.ok("certs:add hello", stdin=chain + key)
    assert said.stderr == ""
    assert served(desk).encode() == chain
    (row,) = desk.ok("certs:report --format json").json
    assert (row["app"], row["names"], row["issuer"]) == ("hello", ["hello.apps.example.com"], "Test CA")
    assert row["expires_at"] == "2026-01-02T00:00:00+00:00"
    assert desk.ok("url hello").text == "https://hello.apps.example.com\n"
    assert desk.ok("domains hello --format json").json[0]["certificate"] == "own"
    desk.ok("certs:remove hello")
    assert (served(desk), desk.run("certs:remove hello").code) == ("", 20)


def test_a_tar_as_dokku_takes_it(desk):
    chain, key = pair()
    desk.ok("certs:update hello", stdin=tar(server_crt=chain, server_key=key))
    assert served(desk).encode() == chain


def test_files_for_root_on_the_server_only(desk, tmp_path):
    chain, key = pair()
    (tmp_path / "c.pem").write_bytes(chain)
    (tmp_path / "k.pem").write_bytes(key)
    desk.local = Local(cwd=str(tmp_path))
    desk.ok("certs:add hello c.pem k.pem")
    desk.local, desk.actor = None, ALICE
    assert desk.run("certs:add hello c.pem k.pem").code == 6


def test_a_domain_that_it_does_not_cover_is_a_warning(desk):
    chain, key = pair(("*.example.org", "hello.apps.example.com"))
    desk.ok("domains:add hello www.example.org a.b.example.org example.org")
    told = desk.ok("certs:add hello", stdin=chain + key).stderr
    assert told.splitlines() == [" !     the certificate does not cover a.b.example.org",
                                 " !     the certificate does not cover example.org"]
    assert "does not cover new.example.net" in desk.ok("domains:add hello new.example.net").stderr


@pytest.mark.parametrize("kind", ["expired", "not yet", "other key", "huge", "text", "symlink", "two keys", "no key"])
def test_what_is_not_fit_leaves_the_old_one(desk, kind):
    chain, key = pair()
    desk.ok("certs:add hello", stdin=chain + key)
    late, later = pair(begin=NOW - 2 * DAY, end=NOW - DAY), pair(begin=NOW + DAY, end=NOW + 2 * DAY)
    data = {
        "expired": late[0] + late[1], "not yet": later[0] + later[1], "other key": chain + pair()[1],
        "huge": chain + key + b"#" * 65536, "text": b"hello", "symlink": tar(a_crt=chain, a_key=None),
        "two keys": tar(a_crt=chain, a_key=key, b_key=key), "no key": tar(a_crt=chain)}[kind]
    said = desk.run("certs:add hello", stdin=data)
    assert said.code == 3, said.all
    assert served(desk).encode() == chain
    assert len(desk.ok("certs hello --format json").json) == 1


def test_a_certificate_that_the_proxy_refuses_is_put_back(desk):
    old, new = pair(), pair()
    desk.ok("certs:add hello", stdin=old[0] + old[1])
    desk.flow.router.refuse(desk.flow.app().id, "bad certificate")
    said = desk.run("certs:add hello", stdin=new[0] + new[1])
    assert said.code == ProxyError.exit_code
    assert "as it was" in said.stderr
    assert served(desk).encode() == old[0]


def test_the_key_is_nowhere_to_be_seen(desk):
    chain, key = pair()
    secret = key.splitlines()[1].decode()
    shown = [desk.ok("certs:add hello", stdin=chain + key).all, desk.ok("certs --format json").text,
             desk.ok("events --format json").text, desk.ok("apps:info hello").text]
    assert not any(secret in text for text in shown)

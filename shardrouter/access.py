"""The files beside `cluster.toml` by which clients get in: a DSN, a certificate and its key.

    dsn             postgresql://shardrouter:PASSWORD@HOST:PORT/shardrouter, for its owner only
    router.key      private key of the certificate, for its owner only
    router.crt      self-signed, for this host's names; clients verify a router by it:
                    sslmode=verify-full sslrootcert=router.crt

A router that starts makes what is missing. Several may start on one directory at once: each
file is made by one of them, whole or not at all, and the others read it.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import socket
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nodes.cluster_file import make_file
from nodes.config import Address, ConfigError
from shardrouter.dsn_file import USER, dsn_path, new_dsn, new_password, password_of, read_dsn
from shardrouter.pgserver.tls import ALPN, Encryption
from shardrouter.pgwire.scram import SALT_BYTES, make_verifier
from shardrouter.role_store import RoleStore
from shardrouter.roles import Role

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "admit_first",
    "encryption_from",
    "own_encryption",
]

CERTIFICATE_DAYS: Final = 3650
"""Nobody renews it but by removing it; it is trusted by name, not by an authority."""


async def admit_first(
    roles: RoleStore, cluster_file: Path, address: Address, deadline: float
) -> None:
    """See to it that the cluster has a role: on the first start, `USER` with the password in the
    DSN file, which is made if it is missing. Raises RouterError, ConfigError."""
    is_new = new_dsn(cluster_file, address, new_password())
    password = password_of(read_dsn(cluster_file))
    verifier = str(make_verifier(password, os.urandom(SALT_BYTES)))
    role = Role(USER, verifier, may_log_in=True, is_superuser=True, may_create_roles=True)
    # After an error the file stays: it may hold the only copy of the cluster's password.
    found = await roles.found(role, deadline)
    await roles.find(USER)  # known from now on, also while meta does not answer
    if not found and is_new and not await roles.has_password(USER, password, deadline):
        dsn_path(cluster_file).unlink()  # another directory's has it


# ------------------------------------------------------------------------------ TLS


def own_encryption(cluster_file: Path, address: Address) -> Encryption:
    """With the certificate beside `cluster_file`, made if it is missing. Raises ConfigError."""
    key, certificate = cluster_file.with_name("router.key"), cluster_file.with_name("router.crt")
    try:
        if not certificate.exists():
            _make_key(key)
            _make_certificate(key, certificate, address)
    except OSError as exc:
        raise ConfigError(f"{certificate} cannot be made: {exc}.") from exc
    return encryption_from(certificate, key)


def encryption_from(certificate: Path, key: Path) -> Encryption:
    """With a certificate and its key, both PEM. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # connections live long; none is resumed
    context.set_alpn_protocols([ALPN])
    try:
        if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{key} can be read by others on this host: chmod 600 {key}")
        context.load_cert_chain(certificate, key)
        binding = _binding(certificate)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"{certificate} and {key} are no certificate and its key in PEM: {exc}."
        ) from exc
    return Encryption(context, binding)


def _binding(path: Path) -> bytes | None:
    """`tls-server-end-point` of RFC 5929: hashed as its signature is, but never weaker than by
    SHA-256."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    pem = path.read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)  # the first, if there is a chain
    signed = certificate.signature_hash_algorithm
    if signed is None:  # Ed25519: RFC 5929 leaves it undefined
        return None
    name = "sha256" if signed.name in ("md5", "sha1") else signed.name
    return hashlib.new(name, certificate.public_bytes(serialization.Encoding.DER)).digest()


def _make_key(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    make_file(path, pem.decode(), 0o600)


def _make_certificate(key_path: Path, path: Path, address: Address) -> None:
    """Signed by its own key, and an authority for itself only: who trusts it trusts no more than
    the holder of this key under these names."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{key_path} is no key that a router made: remove it.")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shardrouter")])
    now = datetime.datetime.now(datetime.UTC)
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(subject_key, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(_names(address.host)), critical=False)
        .sign(key, hashes.SHA256())
    )
    make_file(path, made.public_bytes(serialization.Encoding.PEM).decode(), 0o644)


def _names(host: str) -> list[x509.GeneralName]:
    """By which clients may reach this host's router."""
    from cryptography import x509

    texts = dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname(), host])
    names: list[x509.GeneralName] = []
    for text in texts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            if text.isascii():
                names.append(x509.DNSName(text))
    return names

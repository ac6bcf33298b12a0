"""Certificates to sign videos with, made anew for each test, and what a reader says of a video."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)
_USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
_USES += ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


@dataclass(frozen=True)
class Chain:
    """The files of a signer, and the certificate that vouches for it."""

    certificate_file: Path
    key_file: Path
    root: str


def new_chain(
    folder: Path,
    key: Any = None,
    *,
    days: tuple[int, int] = (-1, 1),
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    password: bytes | None = None,
) -> Chain:
    """Write a key and its certificate, valid between two days from now, for a kind of use."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("root", root_key, "root", root_key, (-9, 9), None)
    leaf = _certificate("signer", key, "root", root_key, days, usage)
    chain = Chain(folder / "chain.pem", folder / "key.pem", _pem(root))
    chain.certificate_file.write_text(_pem(leaf) + chain.root)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    chain.key_file.write_bytes(key.private_bytes(*form))
    return chain


def read_manifest(video: Path, root: str) -> tuple[str, dict[str, Any]]:
    """Return the state of a video for who trusts a root, and what its manifest says."""
    settings = c2pa.Settings.from_dict({"trust": {"trust_anchors": root}})
    with c2pa.Reader(video, context=c2pa.Context(settings)) as reader:
        return reader.get_validation_state(), reader.get_active_manifest()


def _certificate(
    name: str,
    key: Any,
    issuer: str,
    issuer_key: Any,
    days: tuple[int, int],
    usage: x509.ObjectIdentifier | None,
) -> x509.Certificate:
    now, is_root = datetime.now(UTC), usage is None
    uses = {"key_cert_sign", "crl_sign"} if is_root else {"digital_signature"}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * _DAY)
        .not_valid_after(now + days[1] * _DAY)
        .add_extension(x509.BasicConstraints(is_root, None), True)
        .add_extension(x509.KeyUsage(**{use: use in uses for use in _USES}), True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(name: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Uni-ViGU tests")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), organization])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()

"""Signs videos with a C2PA manifest: that a model has made them, which one, and with which seed.

Needs the extra `c2pa`, of which nothing is imported before a certificate is configured.
"""

from __future__ import annotations

import io
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2pa import Context

    from worker.settings import WorkerSettings

_GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
#: nothing is asked of the network: neither a time-stamp authority nor the state of a certificate
_SETTINGS = {
    "verify": {"verify_after_sign": True, "ocsp_fetch": False, "remote_manifest_fetch": False}
}
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_PROBE = b'<svg xmlns="http://www.w3.org/2000/svg"></svg>'


#: how long certificate and key may take to be replaced, one after the other
_REPLACING_SECONDS = 10.0
_LOOK_SECONDS = 0.2


class SigningError(Exception):
    """Why a video could not be signed; it must not leave the worker."""


@dataclass(frozen=True)
class VideoSigner:
    """Signs with the certificate and the key that lie in two files when it is asked to.

    They may be replaced while the worker runs, e.g. before the certificate expires. Signing waits a
    little for two that do not match.
    """

    #: PEM: the certificate of the key first, then those that vouch for it
    certificate_file: Path
    #: PEM, without a password
    key_file: Path

    def check(self) -> None:
        """Sign a sample.

        Raises:
            ValueError: naming the setting that does not serve, and why.
        """
        if not self.certificate_file.is_file():
            raise ValueError(f"UNIVIGU_C2PA_CERTIFICATE_FILE {self.certificate_file}: no such file")
        try:
            with _builder(_context(*self._read()), "sample", 0) as builder:
                builder.sign("image/svg+xml", io.BytesIO(_PROBE), io.BytesIO())
        except ImportError as error:
            raise ValueError(
                "UNIVIGU_C2PA_CERTIFICATE_FILE is set, which needs the extra c2pa: "
                "pip install -c constraints.txt -e '.[c2pa]'"
            ) from error
        except Exception as error:  # whatever the library makes of the files
            raise ValueError(
                f"UNIVIGU_C2PA_CERTIFICATE_FILE {self.certificate_file} and UNIVIGU_C2PA_KEY_FILE "
                f"{self.key_file} cannot sign: {error}"
            ) from error

    def sign(self, video: Path, checkpoint: str, seed: int) -> None:
        """Put a signed manifest into an MP4 file, in place.

        Args:
            video: the file; it is as before if it cannot be signed.
            checkpoint: name and content hash of what has made it.
            seed: what it was made with.

        Raises:
            SigningError: if it could not be signed.
        """
        signed = video.with_name(f"signed-{video.name}")
        try:
            with _builder(_context(*self._read_settled()), checkpoint, seed) as builder:
                builder.sign_file(video, signed)
            os.replace(signed, video)
        except Exception as error:  # whatever it is, the video is not signed
            signed.unlink(missing_ok=True)
            raise SigningError(str(error)) from error

    def _read_settled(self) -> tuple[bytes, Any]:
        """Return both once they match; what never does is left to fail."""
        from cryptography import x509

        deadline = time.monotonic() + _REPLACING_SECONDS
        while True:
            is_over = time.monotonic() >= deadline
            try:
                chain, key = self._read()
                public_key = x509.load_pem_x509_certificate(chain).public_key()
                if is_over or public_key == key.public_key():
                    return chain, key
            except (OSError, ValueError):  # one is away, or written in part
                if is_over:
                    raise
            time.sleep(_LOOK_SECONDS)

    def _read(self) -> tuple[bytes, Any]:
        """Return the certificates, PEM, and the key."""
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self.key_file.read_bytes(), password=None)
        return self.certificate_file.read_bytes(), key


def read_signer(settings: WorkerSettings) -> VideoSigner | None:
    """Return the configured signer, or None where there is none."""
    if settings.c2pa_certificate_file is None or settings.c2pa_key_file is None:
        return None
    return VideoSigner(settings.c2pa_certificate_file, settings.c2pa_key_file)


def _context(chain: bytes, key: Any) -> Context:
    import c2pa
    from cryptography.hazmat.primitives import serialization as pem

    # the library takes no other form
    form = (pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    info = c2pa.C2paSignerInfo(_algorithm(key), chain, key.private_bytes(*form), None)
    return c2pa.Context(c2pa.Settings.from_dict(_SETTINGS), c2pa.Signer.from_info(info))


def _algorithm(key: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise ValueError("a key of this kind; allowed: EC P-256, P-384 and P-521, Ed25519, RSA")


def _builder(context: Context, checkpoint: str, seed: int) -> Any:
    import c2pa

    made = {
        "action": "c2pa.created",
        "digitalSourceType": _GENERATED,
        "softwareAgent": {"name": "Uni-ViGU", "version": checkpoint},
    }
    return c2pa.Builder(
        {
            "claim_generator_info": [{"name": "univigu", "checkpoint": checkpoint, "seed": seed}],
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [made]}}],
        },
        context,
    )

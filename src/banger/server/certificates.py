"""The certificate of the door: the user's own, or a certificate that banger makes and signs itself, whose fingerprint
the user compares. TLS is loaded when it is needed."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from banger.directories import ensure_private_directory
from banger.errors import Error

if TYPE_CHECKING:
    import ssl

    from cryptography.x509 import Certificate, GeneralName

_LASTS = timedelta(days=397)
_RENEWED = timedelta(days=30)


def load_tls(certificate: Path, key: Path) -> tuple[ssl.SSLContext, str]:
    """The context, and the SHA-256 of the certificate. Raises `listen_failed`. Blocking."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        return context, _fingerprint(_read(certificate))
    except (OSError, ValueError) as exc:
        hint = "name a certificate and its key, both PEM, below [web] of config.toml"
        raise Error("listen_failed", f"{certificate}, {key}: {exc}", hint) from exc


def ensure_own(directory: Path, names: tuple[str, ...]) -> tuple[Path, Path]:
    """The paths of our own certificate and of its key; made if they are missing, too old, or for other names.
    Raises `listen_failed`. Blocking."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    try:
        ensure_private_directory(str(directory))
        if not (key.is_file() and certificate.is_file() and _is_good(_read(certificate), names)):
            _make(certificate, key, names)
    except (OSError, ValueError) as exc:
        raise Error("listen_failed", f"cannot make a certificate in {directory}: {exc}") from exc
    return certificate, key


def _read(path: Path) -> Certificate:
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(path.read_bytes())


def _is_good(found: Certificate, names: tuple[str, ...]) -> bool:
    from cryptography.x509 import SubjectAlternativeName

    told = found.extensions.get_extension_for_class(SubjectAlternativeName).value
    return found.not_valid_after_utc > datetime.now(UTC) + _RENEWED and {*told} >= {*map(_general, names)}


def _make(certificate: Path, key: Path, names: tuple[str, ...]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "banger")])
    begin = datetime.now(UTC) - timedelta(hours=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _LASTS)
        .add_extension(x509.SubjectAlternativeName([*map(_general, names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    raw = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _put(key, raw)
    _put(certificate, made.public_bytes(Encoding.PEM))


def _general(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _put(path: Path, raw: bytes) -> None:
    """Only our user may read the key, at no moment others."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(raw)


def _fingerprint(found: Certificate) -> str:
    from cryptography.hazmat.primitives.hashes import SHA256

    return found.fingerprint(SHA256()).hex(":").upper()

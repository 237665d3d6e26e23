"""A certificate authority for tests of TLS."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import require_programs


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, and a certificate for ``localhost`` and 127.0.0.1 that it has signed, with its key."""

    ca: Path
    cert: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Create an authority and a certificate in ``folder``; skip the test if openssl is not installed."""
    require_programs("openssl")
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key, cert, key = (folder / name for name in ("ca.pem", "ca.key", "cert.pem", "cert.key"))
    elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    new = ("openssl", "req", "-x509", *elliptic, "-nodes", "-days", "30")
    _run(*new, "-subj", "/CN=forewarn test authority", "-keyout", ca_key, "-out", ca)
    _run(
        *new, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-addext", "basicConstraints=critical,CA:FALSE", "-CA", ca, "-CAkey", ca_key, "-keyout", key, "-out", cert,
    )  # fmt: skip
    return Certificates(ca, cert, key)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)

"""Users and TLS of the listener: a file in the format of Prometheus' web configuration.

Format: https://prometheus.io/docs/prometheus/latest/configuration/https/
"""

import re
import ssl
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from daemon.config.document import read_text, validated, with_absolute_paths
from daemon.config.section import Section
from daemon.core.errors import ConfigError
from daemon.core.file_access import reason_of

_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_CLIENT_CERTIFICATES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


class TlsServerConfig(Section):
    """Certificate of the listener, and whether clients need a certificate."""

    cert_file: Path
    key_file: Path
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_ca_file: Path | None = None
    min_version: _Version = "TLS12"
    max_version: _Version = "TLS13"

    @model_validator(mode="after")
    def _client_certificates(self) -> Self:
        if (self.client_auth_type == "NoClientCert") != (self.client_ca_file is None):
            raise ValueError("client_auth_type and client_ca_file belong together; set both or neither")
        return self


class HttpServerConfig(Section):
    """Additional headers of every answer."""

    headers: dict[str, str] = Field(default_factory=dict)


class WebConfig(Section):
    """The whole file."""

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: dict[str, str] = Field(default_factory=dict)

    @field_validator("basic_auth_users")
    @classmethod
    def _hashed(cls, users: dict[str, str]) -> dict[str, str]:
        for user, hashed in users.items():
            if not _BCRYPT.fullmatch(hashed):
                raise ValueError(f"{user}: not a bcrypt hash; create one with htpasswd -nBC 10 {user}")
        return users

    @property
    def authenticates(self) -> bool:
        """Whether every client has to authenticate, with a password or a certificate."""
        tls = self.tls_server_config
        return bool(self.basic_auth_users) or (tls is not None and tls.client_auth_type == "RequireAndVerifyClientCert")


def load_web_config(path: Path) -> WebConfig:
    """Return the web configuration in ``path``; relative paths in it are resolved against its directory.

    Raises:
        ConfigError: the file, or a certificate that it names, cannot be read or is not valid.
    """
    text = read_text(path, "name a file in the format of Prometheus' web configuration")
    given = validated(WebConfig, text, str(path), "keys such as tls_server_config: and basic_auth_users:")
    config = with_absolute_paths(given, path.absolute().parent)
    if config.tls_server_config is not None:
        server_context(config.tls_server_config, str(path))
    return config


def server_context(tls: TlsServerConfig, name: str) -> ssl.SSLContext:
    """Return the TLS settings of a listener.

    Args:
        tls: the section of the web configuration.
        name: name of the file, for errors.

    Raises:
        ConfigError: a certificate file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    files = f"{name}: tls_server_config"
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        pair = f"{tls.cert_file} with {tls.key_file}"
        reason = reason_of(error, "name a PEM certificate and its key", tls.cert_file, tls.key_file)
        raise ConfigError([f"{files}.cert_file: {pair}: {reason}"]) from error
    try:
        if tls.client_ca_file is not None:
            context.load_verify_locations(tls.client_ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = reason_of(error, "name a PEM file", tls.client_ca_file)
        raise ConfigError([f"{files}.client_ca_file: {tls.client_ca_file}: {reason}"]) from error
    context.verify_mode = _CLIENT_CERTIFICATES[tls.client_auth_type]
    return context

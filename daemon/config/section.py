"""The base of every section of the configuration file, and the sections that several others contain."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, model_validator

#: Marks a key whose change takes effect only at a restart of the service: ``Field(..., json_schema_extra=RESTART)``.
RESTART: dict[str, Any] = {"restart": True}


class Section(BaseModel):
    """A section of the file; an unknown key in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def restart_keys(cls) -> list[str]:
        """Return the path of every key that is marked with ``RESTART``, outside of lists and mappings."""
        paths = []
        for name, field in cls.model_fields.items():
            inner = field.annotation
            if field.json_schema_extra == RESTART:
                paths.append(name)
            elif isinstance(inner, type) and issubclass(inner, Section):
                paths += [f"{name}.{path}" for path in inner.restart_keys()]
        return paths

    def value_at(self, path: str) -> Any:
        """Return the value of the key at ``path``, as in ``http.listen``."""
        value: Any = self
        for name in path.split("."):
            value = getattr(value, name)
        return value


class TlsConfig(Section):
    """TLS for requests to a server."""

    ca_file: Path | None = Field(None, description="Certificate authorities to trust instead of the system's.")
    cert_file: Path | None = Field(None, description="Client certificate.")
    key_file: Path | None = Field(None, description="Private key of the client certificate.")
    insecure_skip_verify: bool = Field(False, description="Do not verify the server's certificate.")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; set both or neither")
        return self


class BasicAuthConfig(Section):
    """HTTP basic authentication for requests to a server."""

    username: str = Field(description="User name.")
    password: SecretStr | None = Field(None, description="Password; preferably `${ENVIRONMENT_VARIABLE}`.")
    password_file: Path | None = Field(None, description="File with the password; read at each request.")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("set exactly one of password and password_file")
        return self


class HttpClientConfig(Section):
    """How an HTTP server is reached."""

    url: HttpUrl
    tls: TlsConfig = Field(default_factory=TlsConfig, description="TLS for requests to the server.")
    basic_auth: BasicAuthConfig | None = Field(None, description="HTTP basic authentication.")
    bearer_token: SecretStr | None = Field(None, description="Bearer token; preferably `${ENVIRONMENT_VARIABLE}`.")
    bearer_token_file: Path | None = Field(None, description="File with the bearer token; read at each request.")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Additional request headers.")
    timeout_seconds: float

    @model_validator(mode="after")
    def _one_authentication(self) -> Self:
        given = [key for key in ("basic_auth", "bearer_token", "bearer_token_file") if getattr(self, key)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are alternatives; keep one")
        return self

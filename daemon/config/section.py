"""What every part of the configuration file has in common."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class Section(BaseModel):
    """A part of the file; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsConfig(Section):
    """TLS towards a server."""

    ca_file: Path | None = Field(None, description="Certificates to trust instead of the system's.")
    cert_file: Path | None = Field(None, description="Client certificate.")
    key_file: Path | None = Field(None, description="Key of the client certificate.")
    insecure_skip_verify: bool = Field(False, description="Do not verify the server's certificate.")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; set both or neither")
        return self


class BasicAuthConfig(Section):
    """HTTP basic authentication towards a server."""

    username: str = Field(description="User name.")
    password: SecretStr | None = Field(None, description="Password, best as `${ENVIRONMENT_VARIABLE}`.")
    password_file: Path | None = Field(None, description="File with the password.")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise ValueError("set exactly one of password and password_file")
        return self

"""The service of the working tree on the data folder of an earlier commit."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.servers.forewarn import Answer, RunningForewarn
from tests.servers.processes import free_port
from tests.servers.webhook import WebhookReceiver

HERE = Path(__file__).parent
MODEL = "20261128T082301Z-f2c2aa46"
"""The model that the earlier commit trained and promoted."""
SILENT = "edge-01"
"""A server that pushed its metrics until hours before the end."""
SERVERS = ("db-01", "ml-compute-01", "web-01", "web-02", "web-03", "web-04", SILENT)
_TOKEN = "a token of the tests"  # noqa: S105 - of a service that lives for seconds
# two ticks in ten seconds: a slow machine keeps up, and the service stays ready
_SPEED = 60


@dataclass(frozen=True)
class Prepared:
    """The running service and what receives its alerts.

    Attributes:
        service: the service.
        main: the Alertmanager that could not be reached when the data was made.
        second: one that the earlier commit did not know; it receives only what this working tree writes.
        before: the data folder as the earlier commit left it.
    """

    service: RunningForewarn
    main: WebhookReceiver
    second: WebhookReceiver
    before: Path

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.service.config

    @property
    def data_dir(self) -> Path:
        """The data folder that the service works on."""
        return self.config.parent / "data"

    def get(self, path: str) -> Answer:
        """Ask for ``path`` with the token."""
        return self.service.get(path, {"Authorization": f"Bearer {_TOKEN}"})

    def post(self, path: str, document: Any) -> Answer:
        """Send ``document`` with the token."""
        return self.service.post(path, document, {"Authorization": f"Bearer {_TOKEN}"})


@contextmanager
def prepared(folder: Path) -> Iterator[Prepared]:
    """Unpack the data folder into ``folder``, twice, and run the service on one of them."""
    for copy in (folder, folder / "before"):
        with tarfile.open(HERE / "data_dir.tar.xz") as archive:
            archive.extractall(copy, filter="data")
    (folder / "token").write_text(_TOKEN, encoding="utf-8")
    with WebhookReceiver() as main, WebhookReceiver() as second:
        document = yaml.safe_load((HERE / "config.yaml").read_text(encoding="utf-8"))
        document["clock"]["speed"] = _SPEED
        document["http"] = {"listen": f"127.0.0.1:{free_port()}", "bearer_token_file": "token"}
        document["alerting"]["alertmanagers"] = [
            {"name": "main", "url": main.url.rstrip("/")},
            {"name": "second", "url": second.url.rstrip("/")},
        ]
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(document), encoding="utf-8")
        with RunningForewarn(config) as service:
            yield Prepared(service, main, second, folder / "before" / "data")

"""The alert on a server whose data stopped: predictions about it are held, and somebody must know."""

from collections.abc import Mapping, Sequence

from daemon.domain.alerts import AlertName, Identity, Observation
from daemon.domain.grid import as_text
from daemon.domain.notification import Alert
from daemon.domain.risk import Severity
from daemon.pipeline.server_state import ServerState


def silent_observations(
    servers: Sequence[ServerState], healthy: bool, known: Mapping[Identity, Alert]
) -> dict[Identity, Observation]:
    """Return what a tick says of each server's silence; nothing where a source failed, as then all are silent.

    A server that is no longer known, for a day without a sample, is forgotten and its alert with it.
    """
    found = {}
    for server in servers:
        stale = server.state == "stale"
        identity = _identity(server)
        if stale or identity in known:
            found[identity] = Observation(float(stale) if healthy or not stale else None, False, 0.5)
    for identity in known:
        if identity.name is AlertName.SERVER_DATA_MISSING and identity not in found:
            found[identity] = Observation(0.0, False, 0.5)
    return found


def silent_text(identity: Identity, alert: Alert, servers: Sequence[ServerState], link: str) -> dict[str, str]:
    """Return the annotations of the alert on a silent server."""
    newest = next((server.newest for server in servers if server.name == identity.server), None)
    if newest is None:
        return dict(alert.annotations)
    text = {
        "summary": f"{identity.server}: no data since {as_text(newest)}; its predictions are held, not resolved.",
        "description": "Look at whether the server is up, and at what collects its metrics.",
        "link": link,
    }
    return {name: value for name, value in text.items() if value}


def _identity(server: ServerState) -> Identity:
    return Identity(AlertName.SERVER_DATA_MISSING, server.name, "", Severity.WARNING.value, server.profile)

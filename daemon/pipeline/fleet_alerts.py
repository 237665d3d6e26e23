"""One alert where many servers of a profile are predicted to breach together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from daemon.domain.alerts import AlertName, Identity, Observation, Phase
from daemon.domain.notification import Alert
from daemon.domain.risk import Risk

_MOST_NAMED = 20


@dataclass(frozen=True)
class FleetRule:
    """When singles become a fleet's alert.

    Attributes:
        servers: at least so many of a profile.
        share: and at least this share of them.
    """

    servers: int = 3
    share: float = 0.3


def fleet_observations(
    firing: Sequence[Identity], risks: Iterable[Risk], known: Mapping[Identity, Alert], rule: FleetRule
) -> dict[Identity, Observation]:
    """Return what a tick says of the fleets' alerts: of those that many fire in, and of those that are known."""
    alerted = Counter(_fleet_of(key) for key in firing if key.name is AlertName.PREDICTED_BREACH)
    watched = Counter(
        Identity(
            AlertName.FLEET_PREDICTED_BREACH, "", risk.watch.key.metric, risk.watch.severity.value, risk.watch.profile
        )
        for risk in risks
    )
    fleets = {*alerted, *(key for key in known if key.name is AlertName.FLEET_PREDICTED_BREACH)}
    found = {}
    for fleet in sorted(fleets):
        many = alerted[fleet] >= max(rule.servers, rule.share * watched[fleet])
        found[fleet] = Observation(float(many), False, 0.5)
    return found


def fleet_text(fleet: Identity, active: Mapping[Identity, Alert]) -> dict[str, str]:
    """Return the annotations of a fleet's alert, which name its servers."""
    servers = sorted(
        key.server
        for key, alert in active.items()
        if key.name is AlertName.PREDICTED_BREACH and alert.state.phase is Phase.FIRING and _fleet_of(key) == fleet
    )
    named = ", ".join(servers[:_MOST_NAMED]) + (
        f" and {len(servers) - _MOST_NAMED} more" * (len(servers) > _MOST_NAMED)
    )
    return {
        "summary": f"{len(servers)} servers of profile {fleet.profile} are predicted to breach the {fleet.severity} "
        f"threshold of {fleet.metric} together.",
        "description": f"They are {named}. Look for what they share before you look at one of them.",
        "servers": named,
    }


def _fleet_of(single: Identity) -> Identity:
    return Identity(AlertName.FLEET_PREDICTED_BREACH, "", single.metric, single.severity, single.profile)

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.domain.errors import ConfigError
from daemon.simulation.profile import PROFILES

DEFAULT_SERVERS = 20


def counts_for(servers: int) -> dict[str, int]:
    """Return servers by profile for a fleet of that size, in the proportions of the default one."""
    shares = {name: profile.share * servers / DEFAULT_SERVERS for name, profile in PROFILES.items()}
    counts = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: counts[name] - shares[name])
    for name in by_remainder[: servers - sum(counts.values())]:
        counts[name] += 1
    return counts


@dataclass(frozen=True)
class FleetSpec:
    """Everything that a simulated fleet follows from; times are UTC throughout.

    Attributes:
        counts: servers by profile; a profile not named has none.
        seed: two fleets of the same spec are the same fleet.
        incidents_per_server_week: the mean number of incidents.
        missing_rate: the probability that one sample is lost.
        outages_per_server_week: the mean number of gaps of 15 to 90 minutes.

    Raises:
        ConfigError: a profile is unknown, or a number is out of range.
    """

    counts: Mapping[str, int] = field(default_factory=lambda: counts_for(DEFAULT_SERVERS))
    seed: int = 0
    incidents_per_server_week: float = 0.35
    missing_rate: float = 0.002
    outages_per_server_week: float = 0.15

    def __post_init__(self) -> None:
        problems = [
            f"counts: {name!r} is no profile; use {', '.join(PROFILES)}" for name in self.counts if name not in PROFILES
        ]
        problems += [f"counts.{name}: {n} is not 0 or more servers" for name, n in self.counts.items() if n < 0]
        if not sum(self.counts.values()) > 0:
            problems.append("counts: a fleet needs at least one server")
        if self.seed < 0:
            problems.append(f"seed: {self.seed} is negative; use 0 or more")
        if not 0 <= self.missing_rate < 1:
            problems.append(f"missing_rate: {self.missing_rate} is not in 0 .. 1")
        for name in ("incidents_per_server_week", "outages_per_server_week"):
            if not 0 <= getattr(self, name) <= 5:
                problems.append(f"{name}: {getattr(self, name)} is not in 0 .. 5")
        if problems:
            raise ConfigError(problems)

"""Whose series it is: the static inputs that do not follow from its history."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from daemon.core.series import GENERIC_PROFILE, Panel, SeriesKey

BUCKETS = 64


@dataclass(frozen=True)
class Vocabulary:
    """The names that a network was trained on; of any other it is told nothing.

    Attributes:
        metrics: their names.
        profiles: their names.
        servers: their ids; the network knows only the bucket that an id falls into.
    """

    metrics: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()

    @classmethod
    def of(cls, panel: Panel) -> "Vocabulary":
        """Return the names in ``panel``."""
        servers = sorted({key.server for key in panel.keys})
        profiles = {panel.profiles.get(server, GENERIC_PROFILE) for server in servers}
        return cls(tuple(sorted({key.metric for key in panel.keys})), tuple(sorted(profiles)), tuple(servers))

    def codes(self, panel: Panel) -> Tensor:
        """Return the metric, the profile and the bucket of each series, ``(series, 3)``; 0 is one that is not known."""
        profiles = [panel.profiles.get(key.server, GENERIC_PROFILE) for key in panel.keys]
        known = set(self.servers)
        buckets = [bucket(key.server) if key.server in known else 0 for key in panel.keys]
        return torch.stack(
            [
                metric_codes(panel.keys, self.metrics),
                _positions(profiles, self.profiles),
                torch.tensor(buckets, dtype=torch.long),
            ],
            dim=1,
        )


NO_NAMES = Vocabulary()


class IdentityEmbedding(nn.Module):
    """Add up what is learnt of a metric, of a profile and of a bucket of servers; nothing of what is not known."""

    def __init__(self, vocabulary: Vocabulary, size: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        rows = (len(vocabulary.metrics), len(vocabulary.profiles), BUCKETS if vocabulary.servers else 0)
        self.tables = nn.ParameterList(torch.zeros(1 + count, size) for count in rows)

    def forward(self, codes: Tensor) -> Tensor:
        """Return ``(windows, size)`` from ``(windows, 3)``."""
        parts = [
            functional.embedding(codes[:, column], table, padding_idx=0) for column, table in enumerate(self.tables)
        ]
        return torch.stack(parts).sum(0)

    def take_over(self, other: "IdentityEmbedding") -> None:
        """Take what ``other`` has learnt of the names that both know."""
        mine, theirs = self.vocabulary, other.vocabulary
        buckets = {bucket(server) for server in set(mine.servers) & set(theirs.servers)}
        pairs = (
            _shared(mine.metrics, theirs.metrics),
            _shared(mine.profiles, theirs.profiles),
            [(each, each) for each in sorted(buckets)],
        )
        with torch.no_grad():
            for own, its, rows in zip(self.tables, other.tables, pairs, strict=True):
                for to, of in rows:
                    own[to] = its[of]


def stable_hash(server: str) -> bytes:
    """Return the SHA-256 of a server's id: the same in every process and on every machine."""
    return hashlib.sha256(server.encode("utf-8", "surrogatepass")).digest()


def bucket(server: str) -> int:
    """Return the bucket that a server's id falls into, 1 to BUCKETS."""
    return int.from_bytes(stable_hash(server)[:8]) % BUCKETS + 1


def metric_codes(keys: Sequence[SeriesKey], vocabulary: Sequence[str]) -> Tensor:
    """Return each series' position in ``vocabulary`` plus one, ``(series,)``; 0 where the metric is not in it."""
    return _positions([key.metric for key in keys], vocabulary)


def mask_identity(codes: Tensor, chances: Sequence[float], generator: torch.Generator | None) -> Tensor:
    """Return ``codes`` ``(windows, 3)``, each column's not told with its chance; none without a generator."""
    if generator is None:
        return codes
    kept = torch.rand(codes.shape, generator=generator) >= torch.tensor(chances)
    return codes * kept.to(codes.device)


def _positions(names: Sequence[str], vocabulary: Sequence[str]) -> Tensor:
    code = {name: position + 1 for position, name in enumerate(vocabulary)}
    return torch.tensor([code.get(name, 0) for name in names], dtype=torch.long)


def _shared(mine: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    return [(mine.index(name) + 1, theirs.index(name) + 1) for name in mine if name in theirs]

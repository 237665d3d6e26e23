"""Identity inputs: the metric, the profile and the server of a series, as learnt embeddings."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from daemon.core.series import GENERIC_PROFILE, Panel, SeriesKey

BUCKETS = 64
"""Number of hash buckets that server ids fall into."""


@dataclass(frozen=True)
class Vocabulary:
    """The names that a network was trained on; every other name has the code 0.

    Attributes:
        metrics: names of metrics.
        profiles: names of profiles.
        servers: ids of servers; the network only sees the bucket of an id.
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
        """Return the codes of metric, profile and server bucket of each series, ``(series, 3)``; 0 is unknown."""
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
    """The sum of the embeddings of metric, profile and server bucket; code 0 has the embedding 0."""

    def __init__(self, vocabulary: Vocabulary, size: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        rows = (len(vocabulary.metrics), len(vocabulary.profiles), BUCKETS if vocabulary.servers else 0)
        self.tables = nn.ParameterList(torch.zeros(1 + count, size) for count in rows)

    def forward(self, codes: Tensor) -> Tensor:
        """Return ``(windows, size)`` from ``codes`` ``(windows, 3)``."""
        parts = [
            functional.embedding(codes[:, column], table, padding_idx=0) for column, table in enumerate(self.tables)
        ]
        return torch.stack(parts).sum(0)

    def take_over(self, other: "IdentityEmbedding") -> None:
        """Copy the embeddings of the names that ``other`` has too."""
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
    """Return the SHA-256 of a server's id; unlike ``hash`` it is the same in every process."""
    return hashlib.sha256(server.encode("utf-8", "surrogatepass")).digest()


def bucket(server: str) -> int:
    """Return the bucket of a server's id, 1 to BUCKETS."""
    return int.from_bytes(stable_hash(server)[:8]) % BUCKETS + 1


def metric_codes(keys: Sequence[SeriesKey], vocabulary: Sequence[str]) -> Tensor:
    """Return the code of each series' metric, its position in ``vocabulary`` plus one, ``(series,)``; 0 if unknown."""
    return _positions([key.metric for key in keys], vocabulary)


def mask_identity(codes: Tensor, chances: Sequence[float], generator: torch.Generator | None) -> Tensor:
    """Return ``codes``, each masked to 0 with the chance of its column; unchanged without a generator.

    Args:
        codes: ``(windows, 3)``.
        chances: probability of the mask by column, 0 to 1.
        generator: of the CPU, so that a seed gives the same masks on every device.
    """
    if generator is None:
        return codes
    kept = torch.rand(codes.shape, generator=generator) >= torch.tensor(chances)
    return codes * kept.to(codes.device)


def _positions(names: Sequence[str], vocabulary: Sequence[str]) -> Tensor:
    code = {name: position + 1 for position, name in enumerate(vocabulary)}
    return torch.tensor([code.get(name, 0) for name in names], dtype=torch.long)


def _shared(mine: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    return [(mine.index(name) + 1, theirs.index(name) + 1) for name in mine if name in theirs]

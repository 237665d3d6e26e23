"""Identity codes, their masks and embeddings, and the forecast of an unknown server."""

from zoneinfo import ZoneInfo

import torch

from daemon.core.series import Panel
from daemon.network.history import History
from daemon.network.identity import BUCKETS, NO_NAMES, IdentityEmbedding, Vocabulary, bucket, mask_identity
from daemon.network.inputs import slice_windows
from daemon.network.model import Architecture, TemporalFusionTransformer
from tests.panels import daily_panel

UTC = ZoneInfo("UTC")


def test_a_bucket_follows_from_the_id_alone() -> None:
    """The same in every process and on every machine, and spread over all buckets."""
    assert bucket("db-1") == 40
    assert {bucket(f"server-{number}") for number in range(2000)} == set(range(1, BUCKETS + 1))


def test_unknown_names_have_the_code_0() -> None:
    """A metric, a profile or a server outside the vocabulary has the code 0."""
    panel = daily_panel(servers=2)
    names = Vocabulary(("mem",), ("database",), ("server-00",))
    codes = names.codes(panel)
    assert codes.tolist() == [[0, 1, bucket("server-00")], [1, 1, bucket("server-00")], [0, 0, 0], [1, 0, 0]]
    assert not NO_NAMES.codes(panel).any()


def test_a_server_never_seen_is_forecast_by_its_profile() -> None:
    """With a learnt profile, the profile of an unknown server changes its forecast."""
    panel = daily_panel(servers=2)
    network = TemporalFusionTransformer(Architecture(), Vocabulary.of(panel)).eval()
    with torch.no_grad():
        network.identity.tables[1][1] = 3.0
        network.mixture.weight.normal_()
    unknown = Panel(tuple(key._replace(server=f"new-{key.server}") for key in panel.keys), panel.start, panel.values)
    database = Panel(unknown.keys, panel.start, panel.values, {"new-server-00": "database"})
    paths = [_forecast(network, each) for each in (unknown, database)]
    assert not torch.equal(paths[0][:2], paths[1][:2])
    assert torch.equal(paths[0][2:], paths[1][2:])


def test_another_fleet_copies_the_embeddings_of_common_names() -> None:
    """A common metric, profile or server keeps its embedding; other names start at 0."""
    old = IdentityEmbedding(Vocabulary(("a", "b"), ("database",), ("s", "t")), 4)
    for number, table in enumerate(old.tables):
        with torch.no_grad():
            table[1:] = number + torch.arange(1.0, len(table))[:, None]
    new = IdentityEmbedding(Vocabulary(("b", "c"), ("database", "web_api"), ("t", "u")), 4)
    new.take_over(old)
    metrics, profiles, servers = new.tables
    assert torch.equal(metrics, torch.stack([torch.zeros(4), torch.full((4,), 2.0), torch.zeros(4)]))
    assert torch.equal(profiles, torch.stack([torch.zeros(4), torch.full((4,), 2.0), torch.zeros(4)]))
    assert torch.equal(servers.any(1).nonzero().flatten(), torch.tensor([bucket("t")]))


def test_codes_are_masked_with_their_chance() -> None:
    """With a generator each column is masked with its chance; without one nothing is masked."""
    codes = torch.ones(20_000, 3, dtype=torch.long)
    kept = mask_identity(codes, (0.0, 0.25, 1.0), torch.Generator().manual_seed(0)).float().mean(0)
    assert kept[0] == 1
    assert abs(kept[1] - 0.75) < 0.02
    assert kept[2] == 0
    assert torch.equal(mask_identity(codes, (1.0, 1.0, 1.0), None), codes)


def _forecast(network: TemporalFusionTransformer, panel: Panel) -> torch.Tensor:
    history = History.from_panel(panel, UTC, vocabulary=network.identity.vocabulary)
    rows = torch.arange(len(panel.keys))
    with torch.inference_mode():
        paths: torch.Tensor = network(slice_windows(history, rows, torch.full_like(rows, history.columns - 1)))
    return paths

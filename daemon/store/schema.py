"""The tables of the store, their version, and the upgrade of older stores."""

import json

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
    update,
)

from daemon.core.scoring import INTERVALS
from daemon.store.engine import insert

SCHEMA_VERSION = 4
_TYPED_ALERTS_VERSION = 4

metadata = MetaData()

servers = Table(
    "servers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("profile", String),
)

series = Table(
    "series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("server_id", ForeignKey("servers.id"), nullable=False),
    Column("metric", String, nullable=False),
    UniqueConstraint("server_id", "metric"),
)

ticks = Table(
    "ticks",
    metadata,
    # only a column declared INTEGER is the row number of SQLite; another type needs a second index
    Column("timestamp", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False, index=True),
    Column("series", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("source", String, primary_key=True),
    Column("stream", String, primary_key=True),
    Column("timestamp", BigInteger, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("name", String, primary_key=True),
    Column("server", String, primary_key=True),
    Column("metric", String, primary_key=True),
    Column("severity", String, primary_key=True),
    Column("profile", String, primary_key=True),
    Column("state", Text, nullable=False),
    Column("annotations", Text, nullable=False),
)

predictions = Table(
    "predictions",
    metadata,
    Column("server", String, primary_key=True),
    Column("metric", String, primary_key=True),
    Column("severity", String, primary_key=True),
    Column("made", BigInteger, primary_key=True, autoincrement=False, index=True),
    Column("profile", String, nullable=False),
    Column("probability", Double, nullable=False),
    Column("model", String, nullable=False),
    Column("outcome", String),
    Column("onset", BigInteger),
)

notifications = Table(
    "notifications",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("target", String, nullable=False, index=True),
    Column("notification", Text, nullable=False),
)

pending_verifications = Table(
    "kept_forecasts",
    metadata,
    Column("origin", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("series", Text, nullable=False),
    Column("paths", LargeBinary, nullable=False),
)

live_scores = Table(
    "live_scores",
    metadata,
    Column("origin", BigInteger, primary_key=True, autoincrement=False),
    Column("forecaster", String, primary_key=True),
    Column("metric", String, primary_key=True),
    Column("horizon", String, primary_key=True),
    Column("scored", BigInteger, nullable=False),
    Column("pinball", Double, nullable=False),
    Column("naive", Double, nullable=False),
    Column("baseline", Double, nullable=False),
    *(Column(f"inside_{name}", BigInteger, nullable=False) for name in INTERVALS),
)


def version(connection: Connection) -> int | None:
    """Return the version of the tables; None if there are none."""
    if not inspect(connection).has_table(meta.name):
        return None
    return connection.scalar(select(meta.c.value).where(meta.c.key == "schema_version"))


def create(connection: Connection) -> None:
    """Create missing tables and upgrade an older store; the transaction must exclude other writers."""
    found = version(connection)
    metadata.create_all(connection)
    first = insert(connection, meta).on_conflict_do_nothing()
    connection.execute(first, [{"key": "schema_version", "value": SCHEMA_VERSION}, {"key": "revision", "value": 0}])
    if found is not None and found < _TYPED_ALERTS_VERSION:
        _type_alerts(connection)
    older = (meta.c.key == "schema_version") & (meta.c.value < SCHEMA_VERSION)
    connection.execute(update(meta).where(older).values(value=SCHEMA_VERSION))


def _type_alerts(connection: Connection) -> None:
    """Upgrade the alerts of version 3, which kept the sent severity and the probability in the annotations."""
    for row in connection.execute(select(alerts)).all():
        old, annotations = json.loads(row.state), json.loads(row.annotations)
        facts = {
            "state": old["phase"],
            "since": old["since"],
            "changed": old["changed"],
            "recent_decisions": old["votes"],
            "missing": old["missing"],
            "sent_severity": annotations.pop("severity", row.severity),
            "probability": float(annotations["probability"]) if "probability" in annotations else None,
        }
        same = [column == getattr(row, column.name) for column in alerts.primary_key]
        upgraded = {"state": json.dumps(facts), "annotations": json.dumps(annotations)}
        connection.execute(update(alerts).where(*same).values(upgraded))

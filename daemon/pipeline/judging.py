"""The ledger at a tick: what fired is entered, what came of the earlier predictions is seen in the data."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from daemon.domain.alerts import AlertName, Identity, Phase
from daemon.domain.breach import ONSET_STEPS, QUIET_STEPS, onsets, past
from daemon.domain.grid import HORIZON_STEPS, STEP_SECONDS, STEPS_PER_HOUR
from daemon.domain.ledger import Outcome, Prediction
from daemon.domain.ledger_judging import Kind, judged, kind_of
from daemon.domain.notification import Alert
from daemon.domain.risk import Risk, Severity, Watch
from daemon.domain.series import Panel, SeriesKey

# as far back as lateness reaches, and an hour for late samples
_RECENT_STEPS = QUIET_STEPS + STEPS_PER_HOUR
_HORIZON_SECONDS = HORIZON_STEPS * STEP_SECONDS


class Judge:
    """Looks for onsets since the last tick, and three hours more, as samples may arrive late and so may alerts.

    After a restart it looks back for as long as a prediction reaches, and to the oldest that is open; never to before
    the ledger began.
    """

    def __init__(self) -> None:
        self._looked_until: int | None = None
        self._began = 0

    def judged(
        self,
        at: int,
        panel: Panel,
        watched: Sequence[Watch],
        ledger: tuple[Prediction, ...],
        entered: Sequence[Prediction],
    ) -> tuple[Prediction, ...]:
        """Return the ledger with ``entered`` and what is known at ``at`` of every line."""
        start = self._looked_until
        if start is None:
            self._began = min((line.made for line in ledger), default=at)
            open_since = min((line.made for line in ledger if line.outcome is None), default=at)
            start = min(at - _HORIZON_SECONDS, open_since)
        self._looked_until = at
        start = max(self._began, min(start, at) - _RECENT_STEPS * STEP_SECONDS)
        found = recent_onsets(panel, watched, start, at)
        profiles = {(watch.key.server, watch.key.metric, watch.severity): watch.profile for watch in watched}
        row_of = {key: row for row, key in enumerate(panel.keys)}

        def known_share(line: Prediction) -> float:
            row = row_of.get(SeriesKey(line.server, line.metric))
            if row is None:
                return 0.0
            after = panel.between(line.made + STEP_SECONDS, line.made + _HORIZON_SECONDS).values[row]
            return float(np.isfinite(after).mean())

        return judged([*ledger, *entered], found, profiles, known_share, at)


def recent_onsets(panel: Panel, watched: Sequence[Watch], start: int, at: int) -> dict[Kind, list[int]]:
    """Return when breaches of the thresholds began in ``start <= t <= at`` (epoch seconds), as far as it is known."""
    first = start - ONSET_STEPS * STEP_SECONDS
    values = panel.between(first, at).values
    row_of = {key: row for row, key in enumerate(panel.keys)}
    found: dict[Kind, list[int]] = {}
    for direction, group in groupby(sorted(watched, key=lambda each: each.direction), key=lambda each: each.direction):
        some = list(group)
        limits = np.array([[watch.threshold] for watch in some], dtype=np.float32)
        begins = onsets(past(values[[row_of[watch.key] for watch in some]], limits, direction))
        for row, column in np.argwhere(begins[:, ONSET_STEPS:]).tolist():
            watch = some[row]
            kind = (watch.key.server, watch.key.metric, watch.severity)
            found.setdefault(kind, []).append(start + column * STEP_SECONDS)
    return found


def entered(
    fired: Sequence[Risk], alerts: Mapping[Identity, Alert], ledger: Sequence[Prediction], at: int, model: str
) -> list[Prediction]:
    """Return the new lines: of the risks whose alert fired now, and of alerts that fire on after a false prediction.

    The latter renew it from where it ended: an alert that fires for days foretells something every 8 h, and is wrong
    as often.
    """
    lines = [
        Prediction(
            risk.watch.key.server,
            risk.watch.key.metric,
            risk.watch.severity,
            risk.watch.profile,
            at,
            risk.probability or 0.0,
            model,
        )
        for risk in fired
    ]
    newest: dict[Kind, Prediction] = {}
    for line in ledger:
        if line.outcome is not Outcome.MISSED:
            newest[kind_of(line)] = line
    for identity, alert in alerts.items():
        if identity.name is not AlertName.PREDICTED_BREACH or alert.state.phase is not Phase.FIRING:
            continue
        last = newest.get((identity.server, identity.metric, Severity(identity.severity)))
        if last is not None and last.outcome in (Outcome.FALSE, Outcome.UNKNOWN) and alert.state.since <= last.made:
            probability = float(alert.annotations.get("probability", last.probability))
            server, metric, severity = kind_of(last)
            made = last.made + _HORIZON_SECONDS
            lines.append(Prediction(server, metric, severity, last.profile, made, probability, model))
    return lines

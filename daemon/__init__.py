"""forewarn: forecasts every metric of every server eight hours ahead, and warns before things break.

The rooms of the package, from the top floor down; import-linter checks that a room imports from lower floors only:

    cli                   the commands of ``forewarn``
    service               composition root: builds, starts, reloads and stops the service
    api                   HTTP: health, /metrics, the JSON API, push, security
    pipeline · backtest   one tick, training and its triggers · scores on the history
    reports               HTML pages of trainings and backtests
    models · store        model records, registry, gate, claims · the history in SQLite or PostgreSQL
    network               the forecasting network; the only room that imports torch
    alerting · forecasting   alerts and their delivery · baselines, point rules, verification
    ingest · breach       sources, discovery, metrics files · the breach model
    simulation            the simulated fleet, its incidents and scenarios
    system                HTTP client, process, files, scheduler, systemd, logs
    config                schema, loading and reference of the configuration
    core                  records, the grid, metrics, scoring, clock, errors

A tick, file by file:

    system/scheduler.py         runs the job at each grid time
    service/lifecycle.py        ``Service.tick``: one tick at a time; logs and counts errors
    pipeline/cycle.py           ``Cycle.run``: the steps below, in this order
    ingest/ingest.py            fetches each source (ingest/prometheus.py, replay.py, push.py)
    store/history.py            writes the samples
    ingest/window.py            gives the last 28 days as one panel
    models/serving.py           forecasts with the serving model (network/) or the baseline (forecasting/baselines.py)
    forecasting/verification.py scores earlier forecasts
    breach/model.py             gives the probability of each breach
    alerting/engine.py          raises and clears alerts; alerting/delivery.py sends them through alertmanager.py
    api/snapshot_cache.py       publishes the snapshot for /metrics and the JSON API

``service/build.py`` connects all of these.
"""

__version__ = "0.1.0"

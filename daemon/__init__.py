"""forewarn: forecasts every metric of every server eight hours ahead, and warns before things break.

The rooms of the package, from the top floor down; import-linter checks that a room imports from lower floors only:

    cli          the commands of ``forewarn``
    service      composition root: builds, starts, reloads and stops the service
    api          HTTP: health, /metrics, the JSON API, push, security
    pipeline     one tick (``cycle.py``), a training, and the triggers of trainings
    backtest     forecasts and alerts of a model, scored on a past span
    reports      HTML pages of trainings and backtests
    models       model records, registry, promotion gate, claims, readiness, training runs
    store        samples, alerts and verification, in SQLite or PostgreSQL
    network      the forecasting network and its training; the only room that imports torch
    alerting     the state of an alert, its text, its outcome, its delivery to Alertmanager
    forecasting  forecasters without torch, their scores, verification of live forecasts
    ingest       sources of metrics, metrics files, and the recent history as a panel
    breach       the probability that a series reaches a threshold
    simulation   the simulated fleet, its incidents and scenarios
    system       outgoing HTTP, processes, files, scheduler, systemd, logs
    config       schema, loading and reference of the configuration
    core         records that all rooms share: series, metric, forecast, scores, errors

Rooms of one floor do not import each other: pipeline and backtest, models and store, alerting and forecasting,
ingest and breach. A tick, file by file:

    system/scheduler.py          runs the job at each grid time
    service/lifecycle.py         ``Service.tick``: one tick at a time; logs and counts errors
    pipeline/cycle.py            ``Cycle.run``: the steps below, in this order
    ingest/ingest.py             fetches each source (ingest/prometheus.py, replay.py, push.py)
    store/history.py             writes the samples
    ingest/window.py             gives the last 28 days as one panel
    models/serving.py            forecasts with the serving model (network/) or the baseline (forecasting/baselines.py)
    breach/model.py              gives the probability of each breach
    alerting/engine.py           advances the alerts and writes every change
    alerting/delivery.py         sends them through alerting/alertmanager.py
    forecasting/verification.py  scores earlier forecasts
    api/snapshot_cache.py        publishes the snapshot for /metrics and the JSON API

``service/build.py`` connects all of these.
"""

__version__ = "0.1.0"

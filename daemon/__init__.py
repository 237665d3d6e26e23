"""forewarn: forecasts every metric of every server eight hours ahead, and warns before things break.

The map, from the top floor down. A module imports from its own folder and from lower floors only; import-linter
checks it.

    cli          the commands of ``forewarn``
    service      composition root: builds, starts, reloads and stops everything
    api          HTTP: the JSON API, push, health checks and /metrics
    pipeline     use cases: one tick (``cycle.py``), training, and the triggers of a training
    backtest     forecasts and alerts of a model, scored on a past span
    reports      HTML pages of training runs and backtests
    models       what a model is, which one serves, what it was measured to do and what may be claimed
    store        samples, alerts and verification, in SQLite or PostgreSQL
    network      the neural network and its training; all modules that import torch, and only they
    alerting     the state of an alert, its text, its outcome and its delivery to Alertmanager
    forecasting  forecasters without torch, scores, and the verification of live forecasts
    ingest       sources (Prometheus, push, replay, simulator) and the recent history as a panel
    breach       the probability that a series crosses its threshold
    simulation   the simulated fleet and its incidents
    system       the operating system: processes, files, schedule, logs, systemd, outgoing HTTP
    config       schema, loading and documentation of the configuration
    core         records that all folders share: series, metric, forecast, scores, errors
"""

__version__ = "0.1.0"

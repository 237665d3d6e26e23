"""forewarn: forecasts every metric of every server eight hours ahead, and warns before things break.

The map, from the top down; an arrow only points down, and import-linter checks it:

    cli          the commands of ``forewarn``
    service      composition root: builds, starts and stops everything
    api          HTTP: /metrics, health, push, the JSON API
    schedule     the five-minute rhythm
    pipeline     use cases: one tick (``cycle.py``), ingesting, forecasting, training, promotion
    learning     the forecasters and their training; the only part that knows torch
    sources      where metrics come from: simulator, Prometheus, replay, push
    store        the history, in SQLite or PostgreSQL
    notify       delivery of alerts to Alertmanager
    registry     model directories, which of them serves, and what served when and why
    simulation   the simulated fleet
    files        metrics files and atomic writing
    reports      pages of training runs and backtests
    config       schema and loading of the configuration
    domain       records, the grid, quantiles, errors, ports: numpy only
"""

__version__ = "0.1.0"

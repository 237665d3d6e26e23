"""The report of a training run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from daemon.domain.claims import Claim, claims, level_of, measured, sayable, tested
from daemon.domain.shown_figures import shown_reasons
from daemon.reports.advice import next_steps
from daemon.reports.epochs import Epochs, epoch_figures, losses
from daemon.reports.fans import fan_chart, fan_legend, fans_of
from daemon.reports.page import Charts, Folded, Part, Points, Section, Table, render_page
from daemon.reports.quality import mapping, not_measured, quality_sections

_MOST_SAMPLES = 12
_MOST_CLAIMS = 8
_FACTS = {
    "epochs": ("epochs", "{:g}"),
    "hours of history": ("data_hours", "{:g} h"),
    "servers": ("num_servers", "{:g}"),
    "parameters": ("model_parameters", "{:,.0f}"),
    "loss in training, last epoch": ("final_train_loss", "{:.4f}"),
    "loss in validation, best epoch": ("final_val_loss", "{:.4f}"),
    "time of one forecast of all series": ("inference_latency_ms", "{:,.0f} ms"),
    "seed": ("seed", "{:.0f}"),
}

Info = Mapping[str, Any]


def render_training_report(
    info: Info, epochs: Epochs, samples: pd.DataFrame, units: Mapping[str, str] | None = None
) -> str:
    """Return the report of a training run as one HTML page that needs no network.

    Args:
        info: ``training_info.json``.
        epochs: the lines of ``epochs.jsonl``.
        samples: ``samples.parquet``.
        units: of the metrics, where they are known.

    Raises:
        BadModel: ``info`` names none of the four levels.
    """
    sections = [
        _summary(info),
        _claims(info),
        _verdict(info),
        Section("Losses", losses(info, epochs)),
        Section("Epochs", epoch_figures(epochs)),
        *quality_sections(info),
        _samples(samples, units or {}),
        Section("What to do next", [Points(next_steps(info, epochs))]),
    ]
    title = f"Training at level {info['level']}"
    return render_page(title, f"forewarn, trained at {info.get('trained_at', 'an unknown time')}", sections)


def _summary(info: Info) -> Section:
    rows = [["level", str(info["level"])]]
    if info.get("data_from") and info.get("data_to"):
        rows.append(["history", f"{info['data_from']} to {info['data_to']}"])
    for name, (key, form) in _FACTS.items():
        if (number := measured(info, key)) is not None:
            rows.append([name, form.format(number)])
    if (hours := measured(info, "training_time_hours")) is not None:
        rows.append(["training time", _duration(hours * 3600)])
    if memory := measured(info, "gpu_memory_peak_mb"):
        rows.append(["peak GPU memory", f"{memory:,.0f} MB"])
    rows.append(["convergence", str(info.get("convergence", "not recorded"))])
    if info.get("device"):
        rows.append(["device", str(info["device"])])
    held_out = mapping(info, "held_out")
    if held_out:
        span, first, last = (held_out.get(key, "?") for key in ("span", "from", "to"))
        rows.append(["measured on", f"the {span} span, {first} to {last}, {held_out.get('origins', '?')} origins"])
    return Section("Summary", [Table(("", ""), rows, text_columns=2)])


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _claims(info: Info) -> Section:
    made = claims(info)
    may: list[Part] = ["Nothing may be said of the accuracy of this model."]
    if made.may:
        may = [_claim_table(made.may[:_MOST_CLAIMS])]
        if len(made.may) > _MOST_CLAIMS:
            more = made.may[_MOST_CLAIMS:]
            may.append(Folded(f"{len(more)} more, metric by metric", _claim_table(more)))
    return Section("What may be said of it", [*may, "What must not be said:", Points(made.must_not)])


def _claim_table(listed: Sequence[Claim]) -> Table:
    rows = [[claim.sentence, claim.source] for claim in listed]
    return Table(("what may be said", "where its number stands"), rows, text_columns=2)


def _verdict(info: Info) -> Section:
    verdict = mapping(info, "verdict")
    if not isinstance(verdict.get("promoted"), bool):
        return Section("Promotion gate", [not_measured("verdict")])
    decision = (
        "It was promoted, to serve." if verdict["promoted"] else "It was refused: it is kept, but was not let serve."
    )
    allowed = sayable(level_of(info), tested(info))
    reasons = Points(shown_reasons(tuple(map(str, verdict.get("reasons") or ())), allowed))
    return Section("Promotion gate", [decision, reasons, "These figures chose which model serves; they are no claim."])


def _samples(samples: pd.DataFrame, units: Mapping[str, str]) -> Section:
    fans = fans_of(samples, _MOST_SAMPLES, units)
    if not fans:
        return Section("Sample forecasts", ["There is no sample with actual values beside it."])
    return Section("Sample forecasts", [fan_legend(fans), Charts([fan_chart(fan) for fan in fans])])

"""The promotion gate: whether a new model may serve, and why."""

import math
from dataclasses import dataclass

from daemon.core.levels import Sayable
from daemon.core.scoring import SOUND_COVERAGE
from daemon.core.training_info import GateDecision


@dataclass(frozen=True)
class Reason:
    """One reason of a gate decision.

    Attributes:
        text: the reason, without a figure.
        figure: the figure that decided, in words; empty where there is none.
    """

    text: str
    figure: str = ""

    def sentence(self, *, with_figure: bool = True) -> str:
        """Return the reason as a sentence."""
        return f"{self.text}: {self.figure}." if self.figure and with_figure else f"{self.text}."


def decide(
    candidate_loss: float, serving_model: str | None, serving_loss: float | None, coverage_80: float
) -> GateDecision:
    """Return the decision: a model serves only if it beats seasonal naive and what serves, and its coverage is sound.

    Args:
        candidate_loss: scaled pinball loss relative to seasonal naive; NaN if not measurable.
        serving_model: id of the model that serves, or ``baseline``; None if there is none.
        serving_loss: its loss on the same windows; None if it could not forecast any of them.
        coverage_80: share of values inside the 80 % interval over the series that vary; NaN if none does.
    """
    low, high = SOUND_COVERAGE
    beats_naive = candidate_loss < 1
    beats_serving = serving_model is None or serving_loss is None or candidate_loss < serving_loss
    is_sound = math.isnan(coverage_80) or low <= coverage_80 <= high
    decision = GateDecision(
        promoted=beats_naive and beats_serving and is_sound,
        candidate_loss=candidate_loss,
        serving_model=serving_model,
        serving_loss=serving_loss,
        coverage_80=coverage_80,
    )
    return decision.model_copy(update={"reasons": tuple(reason.sentence() for reason in reasons_of(decision))})


def reasons_of(decision: GateDecision) -> tuple[Reason, ...]:
    """Return why the gate decided so, from the figures on record; none where a record has no figures."""
    if "candidate_loss" not in decision.model_fields_set:
        return ()
    return (
        _against_naive(decision.candidate_loss),
        _against_serving(decision.candidate_loss, decision.serving_model, decision.serving_loss),
        _coverage(decision.coverage_80),
    )


def shown_reasons(decision: GateDecision, allowed: Sayable) -> tuple[str, ...]:
    """Return the reasons as they may be shown: their figures are of held-out time, which not every level may state."""
    if allowed is Sayable.HELD_OUT:
        return decision.reasons
    return tuple(reason.sentence(with_figure=False) for reason in reasons_of(decision))


def _against_naive(loss: float | None) -> Reason:
    if loss is None:
        return Reason("No window of the held-out span could be scored, so the model was not measured")
    verb = "beats" if loss < 1 else "does not beat"
    return Reason(f"It {verb} seasonal naive", f"{loss:.3f} of its pinball loss on the held-out span")


def _against_serving(loss: float | None, model: str | None, serving: float | None) -> Reason:
    if model is None:
        return Reason("There is no serving model to compare with")
    if loss is None or serving is None:
        return Reason(f"The serving model {model} could not forecast any of these windows, so it was not compared")
    verb = "beats" if loss < serving else "does not beat"
    return Reason(f"It {verb} the serving model {model}", f"{loss:.3f} against {serving:.3f}")


def _coverage(share: float | None) -> Reason:
    low, high = SOUND_COVERAGE
    if share is None:
        return Reason("No series varies in the held-out span, so coverage was not checked")
    sound = "sound" if low <= share <= high else "not sound"
    return Reason(f"The coverage of its 80 % interval is {sound}", f"{share:.1%}; {low:.0%} to {high:.0%} is required")

"""Whether a new model may serve."""

import math
from dataclasses import dataclass

from daemon.core.scoring import SOUND_COVERAGE


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """What the gate decided, and why.

    Attributes:
        promoted: whether the candidate may serve.
        reasons: sentences with the figures that decided.
        candidate_loss: its pinball loss relative to seasonal naive's on the held-out span; None if not measurable.
        serving_model: id of the model that served; None if none did.
        serving_loss: its loss on the same windows; None if it could forecast none of them.
        coverage_80: share of the values of varying series inside the candidate's 80 % interval; None if none varies.
        naive_loss: seasonal naive's, which is the unit of the others.
    """

    promoted: bool
    reasons: tuple[str, ...]
    candidate_loss: float | None
    serving_model: str | None
    serving_loss: float | None
    coverage_80: float | None
    naive_loss: float = 1.0


def judge(
    candidate_loss: float, serving_model: str | None, serving_loss: float | None, coverage_80: float
) -> GateDecision:
    """Return the verdict: a model serves only if it beats seasonal naive and what serves, and its coverage is sound.

    Args:
        candidate_loss: scaled pinball loss relative to seasonal naive's; NaN if not measurable.
        serving_model: id of the model that serves; None if nothing does.
        serving_loss: its loss on the same windows; None if it could not forecast any of them.
        coverage_80: share of values inside the 80 % interval over the series that vary; NaN if none does.
    """
    against_naive, naive_reason = _against_naive(candidate_loss)
    against_serving, serving_reason = _against_serving(candidate_loss, serving_model, serving_loss)
    sound, coverage_reason = _coverage(coverage_80)
    return GateDecision(
        promoted=against_naive and against_serving and sound,
        reasons=(naive_reason, serving_reason, coverage_reason),
        candidate_loss=_known(candidate_loss),
        serving_model=serving_model,
        serving_loss=serving_loss,
        coverage_80=_known(coverage_80),
    )


def without_figures(reason: str) -> str:
    """Return a reason of a verdict without the figures in it, which stand behind a colon."""
    return reason.split(":", maxsplit=1)[0]


def _against_naive(loss: float) -> tuple[bool, str]:
    if math.isnan(loss):
        return False, "No window of the held-out span could be scored, so nothing is known of the model."
    if loss < 1:
        return True, f"It beats seasonal naive: {loss:.3f} of its pinball loss on the held-out span."
    return False, f"It does not beat seasonal naive: {loss:.3f} of its pinball loss on the held-out span."


def _against_serving(loss: float, model: str | None, serving: float | None) -> tuple[bool, str]:
    if model is None:
        return True, "No model serves that it would have to beat."
    if serving is None:
        return True, f"The serving model {model} could forecast none of the windows, so it is no hindrance."
    if loss < serving:
        return True, f"It beats the serving model {model}: {loss:.3f} against {serving:.3f}."
    return False, f"It does not beat the serving model {model}: {loss:.3f} against {serving:.3f}."


def _coverage(share: float) -> tuple[bool, str]:
    low, high = SOUND_COVERAGE
    if math.isnan(share):
        return True, "No series varies in the held-out span, so its coverage cannot be judged."
    if low <= share <= high:
        return True, f"Its 80 % interval is sound: it covers {share:.1%} (between {low:.0%} and {high:.0%})."
    return False, f"Its 80 % interval is not sound: it covers {share:.1%}, not between {low:.0%} and {high:.0%}."


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value

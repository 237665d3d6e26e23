"""The words of the code, the docs and the messages: one thing has one name."""

import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = (
    "daemon/**/*.py",
    "daemon/config/*.yaml",
    "docs/*.md",
    "README.md",
    "deploy/**/*",
    "systemd/*",
    "tests/**/*.py",
)


class Word(NamedTuple):
    """A word that is not used, and what is used instead."""

    pattern: str
    instead: str
    places: tuple[str, ...] = ("*",)


# patterns are of whole words, where `_` parts words too; places are paths in which the word has that meaning
WORDS = (
    Word("told|tell|tells|telling|untold", "notified, reported, masked, or knows"),
    Word("foretold|foretell|foretells|foretelling", "predicted"),
    Word("withdrawn|withdraw|withdraws|withdrawal", "demoted, demotion"),
    Word("obey|obeys", "apply"),
    Word("expert|experts", "prior network"),
    Word(
        "head|heads|trust|trusts|trusted", "calibrator, residual weight", ("daemon/breach/*", "daemon/network/prior*")
    ),
    Word("rehearsal|rehearsals|rehearse|rehearses", "simulated-incident training set"),
    Word("chooser|choosers", "threshold sampler"),
    Word("drawn", "sampled", ("daemon/breach/*", "daemon/network/*", "daemon/simulation/*")),
    Word("precedent|precedents", "recurrence"),
    Word("past days", "same-hour history", ("daemon/breach/*",)),
    Word("cut|cuts", "decision threshold; for a slice or an interruption, that word"),
    Word("turned|upright", "sign-normalised", ("daemon/breach/*",)),
    Word("quiet", "no active breach, or clear"),
    Word("begun", "started, or onset"),
    Word("Watch|watched", "MonitoredThreshold, monitored", ("daemon/*",)),
    Word("votes|vote", "recent decisions"),
    Word("phase|Phase", "state", ("daemon/alerting/*", "daemon/api/*", "daemon/store/*")),
    Word("AlertBook|book", "repository"),
    Word("ledger", "prediction log"),
    Word("judged|judge|judges|judging", "with an outcome, scored"),
    Word("Warned|Verified|Looked|Wish|wished|Compared", "the result's name"),
    Word("Board", "SnapshotCache"),
    Word("Foundation|foundation", "components"),
    Word("Standing|standing", "serving status"),
    Word("damage", "integrity error"),
    Word("stranger|strangers", "unexpected files; held-out servers"),
    Word("verdict|verdicts", "gate decision"),
    Word("fleet alert|fleet alerts|FleetRule", "group alert"),
    Word("kept forecast|kept forecasts|KeptForecast", "pending verification"),
    Word("Rounds|first days|unknown servers", "interleaved sampler, cold start, held-out servers"),
    Word("soonest of both", "what it returns"),
    Word("anew|afresh|gone back to|what came of it|somebody|so many|so long", "plain English"),
)

# what is named so on the outside stays: JSON keys, metrics, options, configuration keys, texts of others
_KEYS = "withdrawn|verdict|cut|wished|unknown_servers"
OUTSIDE = (
    r"forewarn_model_withdrawn|forewarn_alert_cut|forewarn_live_forecasts_waiting",
    r"\bledger_days\b|\bjudged_hours\b|\bkept_forecasts\b|\bjudged(?:: ServingFigures|=_serving)\b",
    rf"[\"'`](?:[a-z_.]+\.)?(?:{_KEYS}|cuts|general_cut|cut_[a-z_]+|head|trust|expert|votes|phase)[\"'`]",
    rf"\b(?:{_KEYS}): [A-Za-z\[\"]|\.(?:{_KEYS})\b|\b(?:{_KEYS})=",
    r"[\"']damage[\"']|\bcut_(?:reaches_target|chosen_on|precision|recall)\b|\bunknown_servers\.skill\b|verdict is ",
    r"<head>|</head>|\bthead\b|HEAD",
    r"--quiet\b|\"quiet\"",
    r"trust-exact|trust-region|unknown servers tested",
    r"\[\"judged\"\]|\"judged\": ",
)
# the short list of places where a word of the left column has to stand
ALLOWED = (
    ("tests/unit/test_vocabulary.py", r".*"),
    ("tests/compatibility/*", r".*"),
    ("tests/e2e/test_compatibility.py", r".*"),
)


def findings(paths: tuple[str, ...] = SOURCES) -> Iterator[tuple[str, int, str, str]]:
    """Yield the path, the line, the word and what to use instead."""
    words = [(re.compile(rf"(?<![A-Za-z])(?:{word.pattern.replace(' ', '[ _-]')})(?![a-z])"), word) for word in WORDS]
    outside = re.compile("|".join(OUTSIDE))
    for path in sorted({path for glob in paths for path in REPOSITORY.glob(glob)}):
        if not path.is_file() or path.suffix in {".png", ".xz", ".safetensors"}:
            continue
        name = str(path.relative_to(REPOSITORY))
        allowed = [re.compile(line) for place, line in ALLOWED if fnmatch(name, place)]
        here = [(pattern, word) for pattern, word in words if any(fnmatch(name, place) for place in word.places)]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if any(pattern.search(line) for pattern in allowed):
                continue
            checked = outside.sub(" ", line)
            for pattern, word in here:
                if found := pattern.search(checked):
                    yield name, number, found.group(), word.instead


def test_the_lint_finds_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word of the list is found in code and prose, as a part of a name too; a name of the outside is not."""
    monkeypatch.setattr("tests.unit.test_vocabulary.REPOSITORY", tmp_path)
    (tmp_path / "README.md").write_text("It is told.\nas `verdict` says\nledger_days\n")
    (tmp_path / "daemon").mkdir()
    (tmp_path / "daemon" / "x.py").write_text("_was_foretold = 1\nhead = 2\n")
    found = [(name, number, word) for name, number, word, _ in findings()]
    assert found == [("README.md", 1, "told"), ("daemon/x.py", 1, "foretold")]


def _report(paths: tuple[str, ...] = SOURCES) -> list[str]:
    return [f"{name}:{number}: {word!r}, use: {instead}" for name, number, word, instead in findings(paths)]


def test_one_thing_has_one_name() -> None:
    """No word that another one has taken the place of stands in code, docs or messages."""
    found = _report()
    assert not found, "\n".join(found)


if __name__ == "__main__":
    print("\n".join(_report(tuple(sys.argv[1:]) or SOURCES)))

"""A week of grid time in accelerated replay, with kills and trainings: ``python -m tests.soak``."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.findings import Finding, findings
from tests.soak.options import Options
from tests.soak.replay import replay

_WORDS = {True: "met", False: "FAILED", None: ""}


def main() -> None:
    """Run the replay, print the findings, and exit with 1 if one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--ticks", type=int, default=2016, help="number of grid times; a week has 2016")
    parser.add_argument("--speed", type=float, default=600, help="seconds of grid time per second")
    parser.add_argument("--kills", type=int, default=10, help="number of times that the service is killed with SIGKILL")
    parser.add_argument("--trainings", type=int, default=2, help="number of trainings that must make a model")
    parser.add_argument("--seed", type=int, default=0, help="seed of the times of the kills")
    parser.add_argument("--keep", type=Path, help="folder for the log and the store; by default they are removed")
    arguments = vars(parser.parse_args())
    keep = arguments.pop("keep")
    options = Options(**arguments)
    if options.ticks < 70:
        parser.error("--ticks: 70 or more, so that memory can be compared over time")
    if shutil.which("prometheus-alertmanager") is None:
        sys.exit("prometheus-alertmanager is not installed: apt-get install prometheus-alertmanager")
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        observed, service = replay(options, folder)
        found = findings(options, observed, service)
    print(file=sys.stderr)
    _print(found)
    sys.exit(any(each.met is False for each in found))


def _print(found: list[Finding]) -> None:
    rows = [(each.name, each.figure, each.limit, _WORDS[each.met]) for each in found]
    rows.insert(0, ("soak", "measured", "limit", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, figure, limit, word in rows:
        print(f"{name:<{widths[0]}}  {figure:>{widths[1]}}  {limit:>{widths[2]}}  {word}".rstrip())


if __name__ == "__main__":
    main()

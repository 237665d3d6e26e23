"""Time and memory of ``forewarn simulate`` for a month of a large fleet, beside a week of it."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from daemon.simulation.spec import counts_for

SERVERS = 160
WEEK_HOURS, MONTH_HOURS = 168, 720
LIMIT_SECONDS = 30
_HOURS = "median from start to breach, h"
FOREWARN = Path(sys.executable).with_name("forewarn")


def main() -> None:
    """Print seconds and peak memory of both spans, their ratios, and the month's incidents."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "month"
        week_seconds, week_mib = measured(WEEK_HOURS, Path(folder) / "week")
        seconds, mib = measured(MONTH_HOURS, out)
        print(f"month / week: {seconds / week_seconds:.2f} of the time, {mib / week_mib:.2f} of the memory")
        print(f"a month in under {LIMIT_SECONDS} s: {'yes' if seconds < LIMIT_SECONDS else 'NO'}")
        print(f"server_metrics.parquet: {(out / 'server_metrics.parquet').stat().st_size / 2**20:.0f} MiB")
        print(incidents(pd.read_parquet(out / "incidents.parquet")).to_string())


def measured(hours: int, out: Path) -> tuple[float, float]:
    """Simulate a span with the command line; print and return its seconds, start included, and MiB at the peak."""
    counts = [f"--num-{name.replace('_', '-')}={count}" for name, count in counts_for(SERVERS).items()]
    began = time.perf_counter()
    process = subprocess.Popen(
        [FOREWARN, "simulate", "--hours", str(hours), *counts, "--out", out], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, mib = time.perf_counter() - began, usage.ru_maxrss / 1024
    if process.returncode:
        raise RuntimeError(f"forewarn simulate ended with {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{SERVERS} servers, {hours} h: wall clock {seconds:.1f} s, CPU {cpu:.1f} s, "
        f"resident memory at most {mib:.0f} MiB",
        flush=True,
    )
    return seconds, mib


def incidents(truth: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers of incidents, breaches and predictable breaches by kind, and the median time to the breach."""
    breached, hours = truth.breach.notna(), (truth.breach - truth.start).dt.total_seconds() / 3600
    by_kind = truth.assign(breached=breached, predictable=truth.precursor & breached, hours=hours).groupby("kind")
    counts = by_kind.agg(
        **{
            "incidents": ("server", "size"),
            "with a breach": ("breached", "sum"),
            "of these with a precursor": ("predictable", "sum"),
        }
    )
    table = counts.assign(**{_HOURS: by_kind.hours.median()}).sort_values("incidents", ascending=False)
    total = {**counts.sum().to_dict(), _HOURS: hours.median()}
    return pd.concat([table, pd.DataFrame([total], index=["all"])]).round(1)


if __name__ == "__main__":
    main()

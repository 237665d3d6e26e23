"""Training speed with all cores and with half of them, on an idle machine and beside a busy process."""

import os
import subprocess
import sys

_RUN = """
import time
from zoneinfo import ZoneInfo
from daemon.network.device import choose_device
from daemon.network.fitting import Plan, fit
from daemon.network.history import LOOKBACK_STEPS, History
from daemon.system.process import keep_freed_memory
from daemon.network.model import Architecture, TemporalFusionTransformer
from daemon.network.sampling import InterleavedSampler, WindowSampler
from tests.panels import daily_panel

keep_freed_memory()
history = History.from_panel(daily_panel(40, 14), ZoneInfo("UTC"))
span = (LOOKBACK_STEPS, history.columns - 1)
sampler = WindowSampler(history, span, 48, 256, 0)
check = WindowSampler(history, (span[1] - 200, span[1]), 96, 256)
rates = []
network = TemporalFusionTransformer(Architecture())
fit(network, InterleavedSampler([(sampler, 1)]), check, Plan(3, 1e-2), choose_device(), rates.append, lambda *_: None)
print(round(rates[-1].samples_per_second))
"""
_BUSY = "while True: pass"


def main() -> None:
    """Print training windows per second with all cores and with half, idle and beside a busy process."""
    cores = len(os.sched_getaffinity(0))
    for threads in (cores, max(1, cores // 2)):
        idle = _rate(threads)
        busy = subprocess.Popen([sys.executable, "-c", _BUSY])
        try:
            loaded = _rate(threads)
        finally:
            busy.kill()
            busy.wait()
        print(
            f"{threads} of {cores} threads: {idle:,} training windows/s on an idle machine, "
            f"{loaded:,} with one core in use"
        )


def _rate(threads: int) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": "."}
    done = subprocess.run([sys.executable, "-c", _RUN], env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


if __name__ == "__main__":
    main()

"""The network: inputs, training, calibration, files and forecasts, and its peers. Only this folder imports torch."""

import os

# Set before torch loads OpenMP. Its threads wait for each other by spinning, so two threads are much slower than one if
# another process uses one of the two cores. Half the cores leave room for other processes, such as the service beside a
# training. `python -m tests.benchmarks threads` prints the cost on an idle machine and the gain on a busy one.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // 2)))

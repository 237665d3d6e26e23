"""The forecasters and their training."""

import os

# Before torch loads OpenMP, whose threads wait for each other by spinning: with one of two cores taken by another
# process, two threads are slower than one by far. Half the cores leave room for what else runs, such as the service
# beside a training. `python -m tests.benchmarks threads` prints what that costs when quiet and saves when busy.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // 2)))

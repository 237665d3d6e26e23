"""Run every benchmark, or those named on the command line: ``python -m tests.benchmarks store service``."""

import importlib
import sys
from pathlib import Path


def main() -> None:
    """Run the benchmarks and print their figures."""
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    chosen = sys.argv[1:] or known
    strange = sorted(set(chosen) - set(known))
    if strange:
        sys.exit(f"no benchmark {', '.join(strange)}; there are: {', '.join(known)}")
    for name in chosen:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"tests.benchmarks.bench_{name}").main()


if __name__ == "__main__":
    main()

import shutil
import subprocess
import sys
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from daemon.api.telemetry import GpuMetrics, PrometheusTelemetry
from daemon.network.device import TorchMemory
from tests.fakes.nvml import MEBIBYTE, FakeGpu, FakeNvml
from tests.fakes.source import FakeClock

HELD = TorchMemory(1000, 2000, 1500)


def scraped(nvml: FakeNvml, held: Mapping[str, TorchMemory]) -> CollectorRegistry:
    """Return a registry with the metrics of these GPUs alone."""
    registry = CollectorRegistry()
    registry.register(GpuMetrics(lambda: held, lambda: nvml))
    return registry


def series(registry: CollectorRegistry) -> dict[str, float]:
    """Return what a scrape gives."""
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_the_driver_and_torch_are_shown_side_by_side() -> None:
    """Torch's figures stand under the driver's name of the same GPU, whichever torch counts first."""
    found = series(scraped(FakeNvml(FakeGpu("GPU-a"), FakeGpu("GPU-b", used=MEBIBYTE)), {"GPU-b": HELD}))
    assert found == {
        'forewarn_gpu_memory_bytes{device="0",kind="used"}': 3 * MEBIBYTE,
        'forewarn_gpu_memory_bytes{device="0",kind="total"}': 80 * MEBIBYTE,
        'forewarn_gpu_memory_bytes{device="1",kind="used"}': MEBIBYTE,
        'forewarn_gpu_memory_bytes{device="1",kind="total"}': 80 * MEBIBYTE,
        'forewarn_gpu_memory_bytes{device="1",kind="allocated"}': 1000,
        'forewarn_gpu_memory_bytes{device="1",kind="reserved"}': 2000,
        'forewarn_gpu_memory_bytes{device="1",kind="peak"}': 1500,
        'forewarn_gpu_utilization_ratio{device="0"}': 0.25,
        'forewarn_gpu_utilization_ratio{device="1"}': 0.25,
    }


def test_without_a_driver_there_is_no_series() -> None:
    """A machine without GPUs is no error; the driver is looked for once, at the first scrape, and not again."""
    nvml = FakeNvml(FakeGpu("GPU-a"))
    nvml.missing = True
    registry = scraped(nvml, {})
    assert nvml.initialised == 0
    assert series(registry) == series(registry) == {}
    assert nvml.initialised == 1


def test_a_driver_that_breaks_and_heals_is_no_error() -> None:
    """While it fails there is no series; after that they are there again, without a second initialisation."""
    nvml = FakeNvml(FakeGpu("GPU-a"))
    registry = scraped(nvml, {})
    assert len(series(registry)) == 3
    nvml.broken = True
    assert series(registry) == {}
    nvml.broken = False
    assert len(series(registry)) == 3
    assert nvml.initialised == 1


def test_what_one_gpu_does_not_say_takes_nothing_from_others() -> None:
    """A GPU that is lost has no series, one that does not count its work no utilisation."""
    found = series(scraped(FakeNvml(FakeGpu("GPU-a", lost=True), FakeGpu("GPU-b", counts_work=False)), {}))
    assert set(found) == {
        'forewarn_gpu_memory_bytes{device="1",kind="used"}',
        'forewarn_gpu_memory_bytes{device="1",kind="total"}',
    }


def test_promtool_has_nothing_to_say() -> None:
    """Names, units and help follow the conventions."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    text = generate_latest(scraped(FakeNvml(FakeGpu("GPU-a")), {"GPU-a": HELD}))
    assert b"forewarn_gpu_utilization_ratio" in text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr


def test_a_scrape_works_with_the_real_library_and_imports_it_only_then() -> None:
    """Where there is no driver the service's other metrics are all there; where there is one, the GPUs as well."""
    code = (
        "import sys; from daemon.api.telemetry import PrometheusTelemetry; from daemon.core.clock import SystemClock;"
        "from daemon.network.device import torch_memory;"
        "telemetry = PrometheusTelemetry(SystemClock()); telemetry.show_gpus(torch_memory);"
        "assert 'pynvml' not in sys.modules; assert b'forewarn_build_info' in telemetry.render();"
        "assert 'pynvml' in sys.modules; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torch_alone_is_named_by_its_uuid() -> None:
    """Where the driver's library is missing, torch's own figures are shown all the same."""
    nvml = FakeNvml()
    nvml.missing = True
    assert 'forewarn_gpu_memory_bytes{device="GPU-c",kind="peak"}' in series(scraped(nvml, {"GPU-c": HELD}))


def test_the_service_shows_them() -> None:
    """What torch holds is on the service's own page."""
    telemetry = PrometheusTelemetry(FakeClock(0))
    telemetry.show_gpus(lambda: {"GPU-c": HELD})
    assert b'kind="reserved"} 2000.0' in telemetry.render()

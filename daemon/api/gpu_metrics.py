"""Metrics of the GPUs: what the driver says of them, and what torch holds of them in this process."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.learning.gpu_memory import TorchMemory

_log = structlog.get_logger()


def _pynvml() -> Any:
    import pynvml  # noqa: PLC0415 - a start does not wait for it

    return pynvml


class GpuMetrics(Collector):
    """Collects at each scrape; without a GPU, or without a driver that answers, there is no series of it."""

    def __init__(
        self, torch_memory: Callable[[], Mapping[str, TorchMemory]], library: Callable[[], Any] = _pynvml
    ) -> None:
        """Note where the figures come from; neither is asked before the first scrape.

        Args:
            torch_memory: what torch holds in this process, by the driver's UUID of the GPU.
            library: gives the NVML module.
        """
        self._torch_memory, self._library = torch_memory, library
        self._lock = threading.Lock()
        self._begun = False
        self._nvml: Any = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        memory = GaugeMetricFamily(
            "forewarn_gpu_memory_bytes",
            "Memory of a GPU: used by all and total, as the driver says; allocated, reserved and at the peak allocated "
            "by torch in this process, which a training is not part of.",
            labels=["device", "kind"],
        )
        utilization = GaugeMetricFamily(
            "forewarn_gpu_utilization_ratio", "Share of the last moments in which the GPU worked.", labels=["device"]
        )
        names = self._add_what_the_driver_says(memory, utilization)
        for uuid, held in self._torch_memory().items():
            # the driver counts by slot, torch by speed and by CUDA_VISIBLE_DEVICES; the UUID is the same
            device = names.get(uuid, uuid)
            memory.add_metric([device, "allocated"], held.allocated)
            memory.add_metric([device, "reserved"], held.reserved)
            memory.add_metric([device, "peak"], held.peak)
        yield from (family for family in (memory, utilization) if family.samples)

    def _add_what_the_driver_says(self, memory: GaugeMetricFamily, utilization: GaugeMetricFamily) -> dict[str, str]:
        """Return the devices' names by UUID."""
        names: dict[str, str] = {}
        nvml = self._initialised()
        if nvml is None:
            return names
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError:
            return names
        for index in range(count):
            device = str(index)
            # a GPU that fell off the bus, or that does not know a figure, takes none from the others
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                names[nvml.nvmlDeviceGetUUID(handle)] = device
                said = nvml.nvmlDeviceGetMemoryInfo(handle)
                memory.add_metric([device, "used"], said.used)
                memory.add_metric([device, "total"], said.total)
                utilization.add_metric([device], nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
            except nvml.NVMLError:
                continue
        return names

    def _initialised(self) -> Any:
        """Return NVML, initialised at the first call; None where that failed: then there is no GPU to speak of."""
        with self._lock:
            if not self._begun:
                self._begun = True
                nvml = self._library()
                try:
                    nvml.nvmlInit()
                    self._nvml = nvml
                except nvml.NVMLError as error:
                    _log.info("gpus_not_shown", reason=str(error))
            return self._nvml

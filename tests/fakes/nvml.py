"""A driver's library of GPUs, as ``pynvml`` gives it."""

from dataclasses import dataclass
from types import SimpleNamespace

MEBIBYTE = 1 << 20


@dataclass
class FakeGpu:
    """One GPU; ``lost`` makes every question about it fail, ``counts_work`` is whether it knows its utilisation."""

    uuid: str
    used: int = 3 * MEBIBYTE
    total: int = 80 * MEBIBYTE
    busy_percent: int = 25
    lost: bool = False
    counts_work: bool = True


class FakeNvml:
    """Mirrors the part of ``pynvml`` that is used.

    Attributes:
        gpus: those of the machine, by slot.
        missing: whether there is no driver.
        broken: whether the driver fails after it was initialised.
        initialised: how often it was.
    """

    class NVMLError(Exception):
        """What every call raises that fails."""

    def __init__(self, *gpus: FakeGpu) -> None:
        self.gpus = gpus
        self.missing = self.broken = False
        self.initialised = 0

    def nvmlInit(self) -> None:  # noqa: N802 - the name of the real one, and so below
        self.initialised += 1
        if self.missing:
            raise self.NVMLError("NVML Shared Library Not Found")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        if self.broken:
            raise self.NVMLError("Driver/library version mismatch")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:  # noqa: N802
        if self.gpus[index].lost:
            raise self.NVMLError("GPU is lost")
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str:  # noqa: N802
        return gpu.uuid

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=gpu.used, total=gpu.total, free=gpu.total - gpu.used)

    def nvmlDeviceGetUtilizationRates(self, gpu: FakeGpu) -> SimpleNamespace:  # noqa: N802
        if not gpu.counts_work:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=gpu.busy_percent, memory=0)

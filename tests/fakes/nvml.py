"""The library of a GPU driver, with the interface of ``pynvml``."""

from dataclasses import dataclass
from types import SimpleNamespace

MEBIBYTE = 1 << 20


@dataclass
class FakeGpu:
    """One GPU; every call about a ``lost`` one fails; ``counts_work`` is whether it reports its utilisation."""

    uuid: str
    used: int = 3 * MEBIBYTE
    total: int = 80 * MEBIBYTE
    busy_percent: int = 25
    lost: bool = False
    counts_work: bool = True


class FakeNvml:
    """Implement the part of ``pynvml`` that forewarn uses.

    Attributes:
        gpus: the GPUs of the machine, by slot.
        missing: whether there is no driver.
        broken: whether the driver fails after the initialisation.
        initialised: number of initialisations.
    """

    class NVMLError(Exception):
        """The error of every failing call."""

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

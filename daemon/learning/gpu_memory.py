"""How much GPU memory this process holds through torch."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TorchMemory:
    """Memory of one GPU that torch holds in this process, in bytes.

    Attributes:
        allocated: taken by tensors.
        reserved: taken from the driver, tensors included.
        peak: the most that tensors took since the process began.
    """

    allocated: int
    reserved: int
    peak: int


def torch_memory() -> Mapping[str, TorchMemory]:
    """Return what torch holds, by the driver's UUID of the GPU; nothing unless this process uses CUDA already.

    It neither imports torch nor wakes CUDA, whose context alone takes hundreds of megabytes of a GPU.
    """
    try:
        cuda = sys.modules["torch"].cuda
        if not cuda.is_initialized():
            return {}
        return {
            _uuid(cuda.get_device_properties(device).uuid): TorchMemory(
                cuda.memory_allocated(device), cuda.memory_reserved(device), cuda.max_memory_allocated(device)
            )
            for device in range(cuda.device_count())
        }
    # it is not loaded, another thread is in the middle of loading it, or the GPU failed
    except (KeyError, AttributeError, RuntimeError):
        return {}


def _uuid(torch_uuid: object) -> str:
    text = str(torch_uuid)
    return text if text.startswith("GPU-") else f"GPU-{text}"

"""The device that networks compute on, and the memory that torch uses on it; no other module asks for a GPU.

The service imports this module at its start, so torch is imported only when a device is chosen.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TorchMemory:
    """Memory of one GPU that torch uses in this process, in bytes.

    Attributes:
        allocated: used by tensors.
        reserved: obtained from the driver, including ``allocated``.
        peak: highest value of ``allocated`` since the start of the process.
    """

    allocated: int
    reserved: int
    peak: int


def torch_memory() -> Mapping[str, TorchMemory]:
    """Return the memory that torch uses, by the UUID of the GPU; empty unless this process already uses CUDA.

    It neither imports torch nor initialises CUDA, whose context alone needs hundreds of megabytes of a GPU.
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
    # torch is not loaded, another thread is loading it, or the GPU failed
    except (KeyError, AttributeError, RuntimeError):
        return {}


def _uuid(torch_uuid: object) -> str:
    text = str(torch_uuid)
    return text if text.startswith("GPU-") else f"GPU-{text}"


def choose_device(asked: "torch.device | None" = None) -> "torch.device":
    """Return ``asked``; with None the first GPU, or the CPU on a machine without a GPU."""
    import torch  # noqa: PLC0415 - the service does not need it at its start

    if asked is not None:
        return asked
    # with an index, because the device of a tensor has one
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

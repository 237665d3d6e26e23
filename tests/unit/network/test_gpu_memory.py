import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from daemon.network.device import TorchMemory, torch_memory


class FakeCuda:
    """Mirrors the part of ``torch.cuda`` that is used: two GPUs, unless it sleeps or fails."""

    def __init__(self, awake: bool = True, fails: bool = False) -> None:
        self.awake, self.fails = awake, fails

    def is_initialized(self) -> bool:
        return self.awake

    def device_count(self) -> int:
        return 2

    def get_device_properties(self, device: int) -> SimpleNamespace:
        # what would wake CUDA
        assert self.awake
        if self.fails:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return SimpleNamespace(uuid=f"0000000{device}-aaaa")

    def memory_allocated(self, device: int) -> int:
        return 100 + device

    def memory_reserved(self, device: int) -> int:
        return 200 + device

    def max_memory_allocated(self, device: int) -> int:
        return 150 + device


def loaded(monkeypatch: pytest.MonkeyPatch, cuda: FakeCuda | None) -> None:
    """Replace torch by one with this ``cuda``; None is for a torch that is being imported."""
    torch = ModuleType("torch")
    if cuda is not None:
        torch.cuda = cuda  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)


def test_the_memory_of_torch_is_by_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The UUID is written as the driver writes it, so that both name the same GPU."""
    loaded(monkeypatch, FakeCuda())
    assert torch_memory() == {
        "GPU-00000000-aaaa": TorchMemory(100, 200, 150),
        "GPU-00000001-aaaa": TorchMemory(101, 201, 151),
    }


@pytest.mark.parametrize("cuda", [None, FakeCuda(awake=False), FakeCuda(fails=True)])
def test_without_cuda_it_is_empty(monkeypatch: pytest.MonkeyPatch, cuda: FakeCuda | None) -> None:
    """So it is during the import of torch, without use of CUDA, and with a GPU that fails."""
    loaded(monkeypatch, cuda)
    assert torch_memory() == {}


def test_asking_does_not_import_torch() -> None:
    """A service that has not forecast with a network yet stays as small as it is."""
    code = (
        "import sys; from daemon.network.device import torch_memory;"
        "assert torch_memory() == {}; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [name for name in vars(FakeCuda) if not name.startswith("_")])
def test_the_fake_mirrors_the_real_torch(name: str) -> None:
    """What is asked of torch is there in the one that is installed."""
    import torch

    assert callable(getattr(torch.cuda, name))

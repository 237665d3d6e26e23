"""A second device for machines with a CPU only: code that fails on a GPU fails on it too."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry, CPUAccelerator
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# the only device type besides the CPU in every build of torch
SECOND = torch.device("meta")
_COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)


class SecondTensor(Tensor):
    """A tensor on the second device; its values are a CPU tensor that only ``_run`` uses."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "SecondTensor":
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=SECOND
        )
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        """Return the values, as a GPU tensor does."""
        return self.inner.tolist()


class _Mode(TorchDispatchMode):
    """Intercept operations without a tensor of the second device too, such as those that create one there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Accelerator(CPUAccelerator):
    """Lightning's accelerator for the second device."""

    def setup_device(self, device: torch.device) -> None:
        assert device == SECOND


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation on the CPU tensors; tensors of two devices are an error, as on a GPU.

    Also as on a GPU, a copy may have both devices, and a CPU tensor without dimensions is allowed with any other.
    """
    leaves = tree_leaves((args, kwargs))
    tensors = [each for each in leaves if isinstance(each, Tensor)]
    second = any(isinstance(each, SecondTensor) for each in tensors)
    if func is torch.ops.aten._has_compatible_shallow_copy_type.default:
        return isinstance(args[0], SecondTensor) == isinstance(args[1], SecondTensor)
    on_cpu = [each for each in tensors if not isinstance(each, SecondTensor) and each.dim()]
    if second and on_cpu and func not in _COPIES:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found two in {func}")
    asked = [each for each in leaves if isinstance(each, torch.device)]
    there = asked[0] == SECOND if asked else second
    own = {id(_inner(each)): each for each in tensors}
    made = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))

    def outer(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) in own:
            given = own[id(value)]
            # in place, or a copy that the CPU skipped because the tensor is there already
            if not asked or isinstance(given, SecondTensor) == there:
                return given
            value = value.clone()
        if not there:
            return value
        # a view is an inference tensor only if the tensor that it views is one
        lasting = func.is_view and not asked and not tensors[0].is_inference()
        with torch.inference_mode(torch.is_inference_mode_enabled() and not lasting):
            return SecondTensor(value)

    return tree_map(outer, made)


def _inner(value: Any) -> Any:
    if isinstance(value, SecondTensor):
        return value.inner
    return torch.device("cpu") if isinstance(value, torch.device) and value == SECOND else value


@contextmanager
def second_device() -> Iterator[torch.device]:
    """Provide a second device, in threads of pools and for Lightning too."""
    submit, tensor = ThreadPoolExecutor.submit, torch.tensor

    def submit_there(pool: ThreadPoolExecutor, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        def run() -> Any:
            # a mode acts in one thread
            with _Mode():
                return call(*args, **kwargs)

        return submit(pool, run)

    def tensor_there(*args: Any, device: torch.device | None = None, **kwargs: Any) -> Tensor:
        # torch itself makes a meta tensor, which has no values
        made = tensor(*args, **kwargs)
        return made if device is None else made.to(device)

    AcceleratorRegistry.register(SECOND.type, _Accelerator)
    try:
        with (
            patch.object(ThreadPoolExecutor, "submit", submit_there),
            patch.object(torch, "tensor", tensor_there),
            _Mode(),
        ):
            yield SECOND
    finally:
        AcceleratorRegistry.remove(SECOND.type)

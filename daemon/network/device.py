"""The device that networks compute on; no other module asks whether there is a GPU."""

import torch


def choose_device(asked: torch.device | None = None) -> torch.device:
    """Return the device that was ``asked`` for; without one the first GPU, or the CPU where there is no GPU."""
    if asked is not None:
        return asked
    # with its index, as tensors on it name it
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

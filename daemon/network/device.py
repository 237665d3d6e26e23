"""The device that networks compute on; no other module checks for a GPU."""

import torch


def choose_device(asked: torch.device | None = None) -> torch.device:
    """Return ``asked``; with None the first GPU, or the CPU on a machine without a GPU."""
    if asked is not None:
        return asked
    # with an index, because the device of a tensor has one
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

"""Reading and writing a network in a model directory: safetensors and JSON, which hold no code."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from daemon.breach.model import BASE_FOLDER, read_stretch
from daemon.core.errors import BadModel
from daemon.core.file_access import reason_of
from daemon.core.forecast import QUANTILES, ForecasterKind
from daemon.core.metric import Metric
from daemon.network.device import choose_device
from daemon.network.forecaster import NetworkForecaster
from daemon.network.identity import BUCKETS, Vocabulary
from daemon.network.inputs import DECODER_SIZES, ENCODER_SIZES, STATIC_SIZE
from daemon.network.model import Architecture, TemporalFusionTransformer

FORMAT = 5
WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "model.json"


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute the network."""
    return {"torch": torch.__version__}


def write_network(
    folder: Path,
    network: TemporalFusionTransformer,
    metrics: tuple[str, ...] | None,
    zone: ZoneInfo,
) -> None:
    """Write ``model.safetensors`` and ``model.json``.

    Args:
        folder: an existing directory.
        network: on any device.
        metrics: names of the metrics that it can forecast; None is any metric.
        zone: civil time zone of its calendar.

    Raises:
        OSError: a file cannot be written.
    """
    names = network.identity.vocabulary
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS_FILE)
    description = {
        "format": FORMAT,
        "architecture": asdict(network.architecture),
        "inputs": {"encoder": ENCODER_SIZES, "decoder": DECODER_SIZES, "static": STATIC_SIZE, "quantiles": QUANTILES},
        "scalers": {"series": "asinh((y - median) / mean|y - median|) over the 28 days before the origin"},
        "metrics": metrics,
        "profiles": names.profiles,
        "identity": {"metrics": names.metrics, "servers": names.servers, "buckets": BUCKETS},
        "timezone": zone.key,
        "versions": versions(),
    }
    (folder / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_forecaster(
    folder: Path, metrics: Mapping[str, Metric], device: torch.device | None = None
) -> NetworkForecaster:
    """Return the forecaster in a model directory; reading it runs no code from it.

    Args:
        folder: the model directory.
        metrics: physical ranges by metric name.
        device: device of the network; ``choose_device`` decides if None.

    Raises:
        BadModel: a file is missing, damaged or of another format.
    """
    network, description = load_network(folder, device)
    try:
        vocabulary = tuple(str(metric) for metric in description["metrics"])
        zone = ZoneInfo(description["timezone"])
    except (ValueError, KeyError, TypeError) as error:
        raise _bad(folder, error) from error
    return NetworkForecaster(
        network=network,
        vocabulary=vocabulary,
        metrics=metrics,
        zone=zone,
        model=folder.name,
        stretch=read_stretch(folder),
    )


def load_network(folder: Path, device: torch.device | None = None) -> tuple[TemporalFusionTransformer, dict[str, Any]]:
    """Return the network in a model directory, in evaluation mode, and the content of ``model.json``.

    Args:
        folder: the model directory.
        device: device of the network; ``choose_device`` decides if None.

    Raises:
        BadModel: a file is missing, damaged or of another format.
    """
    try:
        description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise BadModel(
                f"{folder}: model format {description['format']}, this forewarn reads {FORMAT}; train a new model"
            )
        known = description["identity"]
        names = Vocabulary(tuple(known["metrics"]), tuple(description["profiles"]), tuple(known["servers"]))
        network = TemporalFusionTransformer(Architecture(**description["architecture"]), names)
        # safetensors reports every file that it cannot open as missing
        with (folder / WEIGHTS_FILE).open("rb"):
            pass
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise _bad(folder, error) from error
    network.to(choose_device(device)).eval()
    return network, description


def _bad(folder: Path, error: Exception) -> BadModel:
    return BadModel(f"{folder}: cannot be loaded as a model: {reason_of(error, 'train a new one or roll back')}")


def base_forecaster(metrics: Mapping[str, Metric], zone: ZoneInfo, folder: Path = BASE_FOLDER) -> NetworkForecaster:
    """Return the network in ``folder`` as a forecaster of any metric, of kind ``base``, on the chosen device.

    Raises:
        BadModel: a file is missing, damaged or of another format.
    """
    network, _ = load_network(folder)
    return NetworkForecaster(
        network=network, vocabulary=None, metrics=metrics, zone=zone, model="", kind=ForecasterKind.BASE
    )


def forecaster_of(folder: Path | None, metrics: Mapping[str, Metric], zone: ZoneInfo) -> NetworkForecaster:
    """Return the forecaster in a model directory, or the base network if ``folder`` is None.

    Raises:
        BadModel: a file is missing, damaged or of another format.
    """
    return base_forecaster(metrics, zone) if folder is None else load_forecaster(folder, metrics)

"""The Temporal Fusion Transformer, one for all series, over patches of an hour.

Lim et al., Temporal Fusion Transformers for interpretable multi-horizon time series forecasting, 2021. What it is told
of a series' name is one static input among others and may be nothing, so that one network serves all fleets. Its head
mixes baseline quantile forecasts and adds a residual.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from daemon.domain.quantiles import QUANTILES
from daemon.learning.identity import NO_NAMES, IdentityEmbedding, Vocabulary
from daemon.learning.layers import (
    GateAddNorm,
    GatedResidualNetwork,
    InterpretableMultiHeadAttention,
    VariableSelection,
)
from daemon.learning.recent import SLOT_STEPS, SLOTS
from daemon.learning.windows import (
    BASELINES,
    DECODER_SIZES,
    ENCODER_SIZES,
    PATCH_STEPS,
    PATCHES,
    STATIC_SIZE,
    STEPWISE_BASELINES,
    Windows,
)

_RESIDUAL_START = 1e-3


@dataclass(frozen=True)
class Architecture:
    """What determines the network's shape; stored in ``model.json``."""

    hidden_size: int = 32
    attention_heads: int = 2


class TemporalFusionTransformer(nn.Module):
    """Map windows to quantile paths."""

    def __init__(self, architecture: Architecture, vocabulary: Vocabulary = NO_NAMES) -> None:
        super().__init__()
        self.architecture = architecture
        size = architecture.hidden_size
        self.identity = IdentityEmbedding(vocabulary, size)
        self.measures = nn.Linear(STATIC_SIZE, size)
        self.static = GatedResidualNetwork(size)
        names = ("selection", "hidden", "cell", "enrichment")
        self.contexts = nn.ModuleDict({name: GatedResidualNetwork(size) for name in names})
        self.encoder_selection = VariableSelection(ENCODER_SIZES, size)
        self.decoder_selection = VariableSelection(DECODER_SIZES, size)
        self.encoder = nn.LSTM(size, size, batch_first=True)
        self.decoder = nn.LSTM(size, size, batch_first=True)
        self.lstm_norm = GateAddNorm(size)
        self.enrichment = GatedResidualNetwork(size, size)
        self.attention = InterpretableMultiHeadAttention(architecture.attention_heads, size)
        self.attention_norm = GateAddNorm(size)
        self.feed_forward = GatedResidualNetwork(size)
        self.output_norm = GateAddNorm(size)
        self.mixture = nn.Linear(size, PATCH_STEPS // SLOT_STEPS * BASELINES * len(QUANTILES))
        self.residual = nn.Linear(size, PATCH_STEPS * len(QUANTILES))
        nn.init.zeros_(self.mixture.weight)
        nn.init.zeros_(self.mixture.bias)
        nn.init.normal_(self.residual.weight, std=_RESIDUAL_START)
        nn.init.zeros_(self.residual.bias)
        ones = torch.ones(PATCHES, PATCHES + PATCHES, dtype=torch.bool)
        self.register_buffer("future", ones.triu(PATCHES + 1), persistent=False)

    def forward(self, windows: Windows) -> Tensor:
        """Return sorted quantile paths in window units, ``(windows, HORIZON_STEPS, quantiles)``."""
        static = self.static(self.measures(windows.static) + self.identity(windows.identity))
        decoded = self._decode(windows, static)
        mixture = self.mixture(decoded).view(-1, SLOTS, BASELINES, len(QUANTILES)).softmax(-2)
        slots = (windows.slots * mixture).sum(-2, keepdim=True)
        points = windows.points @ mixture[:, :, -STEPWISE_BASELINES:]
        residual = self.residual(decoded).view(-1, SLOTS, SLOT_STEPS, len(QUANTILES))
        paths: Tensor = (slots + points + residual).flatten(1, 2).sort(-1).values
        return paths

    def started_from(self, other: "TemporalFusionTransformer") -> "TemporalFusionTransformer":
        """Take the weights of ``other``, and of what it knows by name what this one knows too; return itself."""
        weights = {name: each for name, each in other.state_dict().items() if not name.startswith("identity.")}
        self.load_state_dict(weights, strict=False)
        self.identity.take_over(other.identity)
        return self

    def _decode(self, windows: Windows, static: Tensor) -> Tensor:
        selection = self.contexts["selection"](static)
        past = self.encoder_selection(windows.encoder, selection)
        future = self.decoder_selection(windows.decoder, selection)
        start = (self.contexts["hidden"](static)[None], self.contexts["cell"](static)[None])
        encoded, state = self.encoder(past, start)
        decoded, _ = self.decoder(future, state)
        skip = torch.cat([past, future], dim=1)
        local = self.lstm_norm(torch.cat([encoded, decoded], dim=1), skip)
        enriched = self.enrichment(local, self.contexts["enrichment"](static)[:, None])
        query = enriched[:, PATCHES:]
        attended = self.attention(query, enriched, self.future)
        attended = self.attention_norm(attended, query)
        output: Tensor = self.output_norm(self.feed_forward(attended), local[:, PATCHES:])
        return output

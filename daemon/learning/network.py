"""The Temporal Fusion Transformer, one for all series, over patches of half an hour.

Lim et al., Temporal Fusion Transformers for interpretable multi-horizon time series forecasting, 2021, built from
pytorch-forecasting's sub-modules. Its head mixes baseline quantile forecasts and adds a residual.
"""

from dataclasses import dataclass

import torch
from pytorch_forecasting.models.temporal_fusion_transformer.sub_modules import (
    AddNorm,
    GateAddNorm,
    GatedLinearUnit,
    GatedResidualNetwork,
    InterpretableMultiHeadAttention,
)
from torch import Tensor, nn

from daemon.domain.quantiles import QUANTILES
from daemon.learning.windows import (
    BASELINES,
    DECODER_SIZES,
    ENCODER_SIZES,
    ENCODER_STEPS,
    PATCH_STEPS,
    PATCHES,
    STATIC_SIZE,
    Windows,
)

_ENCODER_PATCHES = ENCODER_STEPS // PATCH_STEPS
_RESIDUAL_START = 1e-3


@dataclass(frozen=True)
class Architecture:
    """What determines the network's shape; stored in ``model.json``."""

    metrics: int
    hidden_size: int = 32
    metric_embedding_size: int = 8
    attention_heads: int = 2
    dropout: float = 0.0


class VariableSelection(nn.Module):
    """Weigh vector-valued variables by softmax weights that depend on all of them and on the static context.

    A lighter form of the paper's section 4.2: one linear map per variable instead of a gated residual network.
    """

    def __init__(self, sizes: tuple[int, ...], hidden_size: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.variables = nn.ModuleList(nn.Linear(size, hidden_size) for size in sizes)
        self.hidden = nn.Linear(sum(sizes), hidden_size)
        self.context = nn.Linear(hidden_size, hidden_size, bias=False)
        self.weights = nn.Linear(hidden_size, len(sizes))
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, values: Tensor, context: Tensor) -> Tensor:
        """Return ``(windows, patches, hidden)`` from values ``(windows, patches, sum(sizes))``."""
        hidden = nn.functional.elu(self.hidden(values) + self.context(context)[:, None])
        weights = self.weights(hidden).softmax(-1)
        parts = zip(self.variables, values.split(self.sizes, dim=-1), strict=True)
        variables = torch.stack([layer(part) for layer, part in parts], dim=-2)
        selected: Tensor = self.norm((weights[..., None] * variables).sum(-2))
        return selected


class TemporalFusionTransformer(nn.Module):
    """Map windows to quantile paths."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        size, dropout = architecture.hidden_size, architecture.dropout

        def gated(inputs: int, context: int | None = None) -> nn.Module:
            network: nn.Module = GatedResidualNetwork(inputs, size, size, dropout, context)
            return network

        self.metric = nn.Embedding(architecture.metrics + 1, architecture.metric_embedding_size)
        self.static = gated(STATIC_SIZE + architecture.metric_embedding_size)
        self.contexts = nn.ModuleDict({name: gated(size) for name in ("selection", "hidden", "cell", "enrichment")})
        self.encoder_selection = VariableSelection(ENCODER_SIZES, size)
        self.decoder_selection = VariableSelection(DECODER_SIZES, size)
        self.encoder = nn.LSTM(size, size, batch_first=True)
        self.decoder = nn.LSTM(size, size, batch_first=True)
        self.lstm_gate = GatedLinearUnit(size, dropout=dropout)
        self.lstm_norm = AddNorm(size)
        self.enrichment = gated(size, size)
        self.attention = InterpretableMultiHeadAttention(
            architecture.attention_heads, size, dropout, mask_bias=float("-inf")
        )
        self.attention_norm = GateAddNorm(size, dropout=dropout)
        self.feed_forward = gated(size)
        self.output_norm = GateAddNorm(size, dropout=dropout)
        self.mixture = nn.Linear(size, BASELINES * len(QUANTILES))
        self.residual = nn.Linear(size, PATCH_STEPS * len(QUANTILES))
        nn.init.zeros_(self.mixture.weight)
        nn.init.zeros_(self.mixture.bias)
        nn.init.normal_(self.residual.weight, std=_RESIDUAL_START)
        nn.init.zeros_(self.residual.bias)
        ones = torch.ones(PATCHES, _ENCODER_PATCHES + PATCHES, dtype=torch.bool)
        self.register_buffer("future", ones.triu(_ENCODER_PATCHES + 1), persistent=False)

    def forward(self, windows: Windows, metric: Tensor) -> Tensor:
        """Return sorted quantile paths in window units.

        Args:
            windows: the inputs.
            metric: ``(windows,)`` position of each window's metric in the vocabulary plus one; 0 is unknown.

        Returns:
            ``(windows, HORIZON_STEPS, quantiles)``.
        """
        decoded = self._decode(windows, self.static(torch.cat([windows.static, self.metric(metric)], dim=-1)))
        mixture = self.mixture(decoded).unflatten(-1, (BASELINES, len(QUANTILES))).softmax(-2)
        mixed = (windows.baselines * mixture[:, :, None]).sum(-2)
        residual = self.residual(decoded).unflatten(-1, (PATCH_STEPS, len(QUANTILES)))
        paths: Tensor = (mixed + residual).flatten(1, 2).sort(-1).values
        return paths

    def _decode(self, windows: Windows, static: Tensor) -> Tensor:
        selection = self.contexts["selection"](static)
        past = self.encoder_selection(windows.encoder, selection)
        future = self.decoder_selection(windows.decoder, selection)
        start = (self.contexts["hidden"](static)[None], self.contexts["cell"](static)[None])
        encoded, state = self.encoder(past, start)
        decoded, _ = self.decoder(future, state)
        skip = torch.cat([past, future], dim=1)
        local = self.lstm_norm(self.lstm_gate(torch.cat([encoded, decoded], dim=1)), skip)
        enriched = self.enrichment(local, self.contexts["enrichment"](static)[:, None])
        query = enriched[:, _ENCODER_PATCHES:]
        attended, _ = self.attention(query, enriched, enriched, self.future)
        attended = self.attention_norm(attended, query)
        output: Tensor = self.output_norm(self.feed_forward(attended), local[:, _ENCODER_PATCHES:])
        return output

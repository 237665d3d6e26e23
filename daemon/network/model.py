"""The Temporal Fusion Transformer, one for all series, over patches of an hour.

Lim et al., Temporal Fusion Transformers for interpretable multi-horizon time series forecasting, 2021; sections below
are of that paper. The identity of a series is one static input among others and may be masked, so one network serves
all fleets. The output layer mixes candidate quantile forecasts and adds a residual.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from daemon.core.forecast import QUANTILES
from daemon.network.identity import NO_NAMES, IdentityEmbedding, Vocabulary
from daemon.network.inputs import (
    CANDIDATES,
    DECODER_SIZES,
    ENCODER_SIZES,
    PATCH_STEPS,
    PATCHES,
    SLOT_STEPS,
    SLOTS,
    STATIC_SIZE,
    STEPWISE_CANDIDATES,
    Windows,
)

# small, so that training starts from the equal mix of the candidates
_RESIDUAL_START = 1e-3


class GatedLinearUnit(nn.Module):
    """A linear map times a learnt gate between 0 and 1 (Dauphin et al., 2017)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, 2 * size)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Return ``(..., size)`` from ``(..., size)``."""
        return functional.glu(self.linear(values), dim=-1)


class GateAddNorm(nn.Module):
    """Gated values plus a skip connection, normalised (section 4.1)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gate = GatedLinearUnit(size)
        self.norm = nn.LayerNorm(size)

    def forward(self, values: Tensor, skip: Tensor) -> Tensor:
        """Return ``(..., size)`` from ``values`` and ``skip`` of that shape."""
        normalised: Tensor = self.norm(self.gate(values) + skip)
        return normalised


class GatedResidualNetwork(nn.Module):
    """A two-layer network behind a gate, added to its input: the gate can skip it (section 4.1)."""

    def __init__(self, size: int, context_size: int | None = None) -> None:
        super().__init__()
        self.first = nn.Linear(size, size)
        self.context = None if context_size is None else nn.Linear(context_size, size, bias=False)
        self.second = nn.Linear(size, size)
        self.output = GateAddNorm(size)
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="leaky_relu")
            nn.init.zeros_(layer.bias)
        if self.context is not None:
            nn.init.xavier_uniform_(self.context.weight)

    def forward(self, values: Tensor, context: Tensor | None = None) -> Tensor:
        """Return ``(..., size)``; ``context`` ``(..., context_size)`` is added to the first layer."""
        hidden = self.first(values)
        if self.context is not None and context is not None:
            hidden = hidden + self.context(context)
        output: Tensor = self.output(self.second(functional.elu(hidden)), values)
        return output


class VariableSelection(nn.Module):
    """A weighted sum of vector-valued variables; the softmax weights depend on all of them and on the static context.

    A lighter form of section 4.2: each variable has one linear map instead of a gated residual network.
    """

    def __init__(self, sizes: tuple[int, ...], hidden_size: int) -> None:
        super().__init__()
        self.sizes = sizes
        maps = [nn.Linear(size, hidden_size) for size in sizes]
        self.matrix = nn.Parameter(torch.cat([each.weight.detach() for each in maps], dim=1))
        self.offsets = nn.Parameter(torch.stack([each.bias.detach() for each in maps]))
        self.hidden = nn.Linear(sum(sizes), hidden_size)
        self.context = nn.Linear(hidden_size, hidden_size, bias=False)
        self.weights = nn.Linear(hidden_size, len(sizes))
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, values: Tensor, context: Tensor) -> Tensor:
        """Return ``(windows, patches, hidden)``.

        Args:
            values: ``(windows, patches, sum(sizes))``.
            context: ``(windows, hidden)``.
        """
        hidden = functional.elu(self.hidden(values) + self.context(context)[:, None])
        weights = self.weights(hidden).softmax(-1)
        sizes = torch.tensor(self.sizes, device=values.device)
        # the weighted sum of linear maps is one linear map of the weighted inputs
        weighted = values * weights.repeat_interleave(sizes, dim=-1, output_size=sum(self.sizes))
        selected: Tensor = self.norm(functional.linear(weighted, self.matrix) + weights @ self.offsets)
        return selected


class InterpretableMultiHeadAttention(nn.Module):
    """Attention whose heads share one value layer, so that the mean of their weights is interpretable (section 4.4)."""

    def __init__(self, heads: int, size: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, size // heads
        self.query = nn.Linear(size, heads * self.head_size)
        self.key = nn.Linear(size, heads * self.head_size)
        self.value = nn.Linear(size, self.head_size)
        self.output = nn.Linear(self.head_size, size, bias=False)
        for layer in (self.query, self.key):
            # each head is initialised as a layer of its own
            for weight in layer.weight.data.split(self.head_size):
                nn.init.xavier_uniform_(weight)
            nn.init.zeros_(layer.bias)
        nn.init.xavier_uniform_(self.value.weight)
        nn.init.zeros_(self.value.bias)
        nn.init.xavier_uniform_(self.output.weight)

    def forward(self, query: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
        """Return ``(windows, queries, size)``.

        Args:
            query: ``(windows, queries, size)``.
            values: ``(windows, keys, size)``; the keys are computed from them too.
            hidden: ``(queries, keys)`` bool; True where a query must not attend to a key.
        """
        queries = self.query(query).unflatten(-1, (self.heads, self.head_size)).transpose(1, 2)
        keys = self.key(values).unflatten(-1, (self.heads, self.head_size)).permute(0, 2, 3, 1)
        scores = (queries @ keys / math.sqrt(self.head_size)).masked_fill(hidden, -torch.inf)
        attended: Tensor = self.output(scores.softmax(-1).mean(1) @ self.value(values))
        return attended


@dataclass(frozen=True)
class Architecture:
    """The sizes of the network; stored in ``model.json``.

    Attributes:
        hidden_size: width of all layers.
        attention_heads: number of attention heads; a divisor of ``hidden_size``.
    """

    hidden_size: int = 32
    attention_heads: int = 2


class TemporalFusionTransformer(nn.Module):
    """The network from windows to quantile paths, both in window units."""

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
        self.mixture = nn.Linear(size, PATCH_STEPS // SLOT_STEPS * CANDIDATES * len(QUANTILES))
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
        mixture = self.mixture(decoded).view(-1, SLOTS, CANDIDATES, len(QUANTILES)).softmax(-2)
        slots = (windows.slots * mixture).sum(-2, keepdim=True)
        points = windows.points @ mixture[:, :, -STEPWISE_CANDIDATES:]
        residual = self.residual(decoded).view(-1, SLOTS, SLOT_STEPS, len(QUANTILES))
        paths: Tensor = (slots + points + residual).flatten(1, 2).sort(-1).values
        return paths

    def start_from(self, other: "TemporalFusionTransformer") -> None:
        """Copy the weights of ``other``, and its embeddings of the names that both have.

        Raises:
            RuntimeError: ``other`` has another architecture.
        """
        weights = {name: each for name, each in other.state_dict().items() if not name.startswith("identity.")}
        self.load_state_dict(weights, strict=False)
        self.identity.take_over(other.identity)

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

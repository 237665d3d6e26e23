"""The building blocks of the Temporal Fusion Transformer, as few and as large operations as they allow.

Lim et al., Temporal Fusion Transformers for interpretable multi-horizon time series forecasting, 2021, sections 4.1 to
4.4. The gated layers and the attention compute what pytorch-forecasting's modules of these names do; a test compares
outputs and gradients. Importing that package would cost every process some seconds and 200 MB.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class GatedLinearUnit(nn.Module):
    """Let a learnt share of a linear map through (Dauphin et al., 2017)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, 2 * size)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Return ``(..., size)`` from ``(..., size)``."""
        return functional.glu(self.linear(values), dim=-1)


class GateAddNorm(nn.Module):
    """Add the gated values to a skip connection and normalise."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gate = GatedLinearUnit(size)
        self.norm = nn.LayerNorm(size)

    def forward(self, values: Tensor, skip: Tensor) -> Tensor:
        """Return ``(..., size)`` from two of that shape."""
        normalised: Tensor = self.norm(self.gate(values) + skip)
        return normalised


class GatedResidualNetwork(nn.Module):
    """Transform as far as it helps: a two-layer network behind a gate, added to its input (section 4.1)."""

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
        """Return ``(..., size)``; ``context`` is added to the first layer."""
        hidden = self.first(values)
        if self.context is not None and context is not None:
            hidden = hidden + self.context(context)
        output: Tensor = self.output(self.second(functional.elu(hidden)), values)
        return output


class VariableSelection(nn.Module):
    """Weigh vector-valued variables by softmax weights that depend on all of them and on the static context.

    A lighter form of section 4.2: one linear map per variable instead of a gated residual network.
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
        """Return ``(windows, patches, hidden)`` from values ``(windows, patches, sum(sizes))``."""
        hidden = functional.elu(self.hidden(values) + self.context(context)[:, None])
        weights = self.weights(hidden).softmax(-1)
        sizes = torch.tensor(self.sizes, device=values.device)
        # the weighted sum of linear maps is one linear map of the weighted inputs
        weighted = values * weights.repeat_interleave(sizes, dim=-1, output_size=sum(self.sizes))
        selected: Tensor = self.norm(functional.linear(weighted, self.matrix) + weights @ self.offsets)
        return selected


class InterpretableMultiHeadAttention(nn.Module):
    """Attend with heads that share their values, so that their mean weights say what was looked at (section 4.4)."""

    def __init__(self, heads: int, size: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, size // heads
        self.query = nn.Linear(size, heads * self.head_size)
        self.key = nn.Linear(size, heads * self.head_size)
        self.value = nn.Linear(size, self.head_size)
        self.output = nn.Linear(self.head_size, size, bias=False)
        for layer in (self.query, self.key):
            # each head as a layer of its own
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
            values: ``(windows, keys, size)``, the keys too.
            hidden: ``(queries, keys)`` bool, what a query must not see.
        """
        queries = self.query(query).unflatten(-1, (self.heads, self.head_size)).transpose(1, 2)
        keys = self.key(values).unflatten(-1, (self.heads, self.head_size)).permute(0, 2, 3, 1)
        scores = (queries @ keys / math.sqrt(self.head_size)).masked_fill(hidden, -torch.inf)
        attended: Tensor = self.output(scores.softmax(-1).mean(1) @ self.value(values))
        return attended

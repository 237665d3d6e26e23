"""The layers compute the same as those of pytorch-forecasting."""

from collections.abc import Callable

import pytest
import torch
from pytorch_forecasting.models.temporal_fusion_transformer import sub_modules
from torch import Tensor, nn

from daemon.network.model import (
    GateAddNorm,
    GatedLinearUnit,
    GatedResidualNetwork,
    InterpretableMultiHeadAttention,
    VariableSelection,
)

_SIZE = 32
_HEADS = 2


def gated_linear_unit() -> tuple[nn.Module, nn.Module, dict[str, str]]:
    return GatedLinearUnit(_SIZE), sub_modules.GatedLinearUnit(_SIZE, dropout=0.0), {"linear": "fc"}


def gate_add_norm() -> tuple[nn.Module, nn.Module, dict[str, str]]:
    names = {"gate.linear": "glu.fc", "norm": "add_norm.norm"}
    return GateAddNorm(_SIZE), sub_modules.GateAddNorm(_SIZE, dropout=0.0), names


def gated_residual_network() -> tuple[nn.Module, nn.Module, dict[str, str]]:
    names = {
        "first": "fc1",
        "context": "context",
        "second": "fc2",
        "output.gate.linear": "gate_norm.glu.fc",
        "output.norm": "gate_norm.add_norm.norm",
    }
    theirs = sub_modules.GatedResidualNetwork(_SIZE, _SIZE, _SIZE, 0.0, _SIZE)
    return GatedResidualNetwork(_SIZE, _SIZE), theirs, names


def copied(ours: nn.Module, theirs: nn.Module, names: dict[str, str]) -> None:
    """Give ``theirs`` the weights of ``ours``."""
    weights = ours.state_dict()
    theirs.load_state_dict(
        {
            f"{their}.{kind}": weights[f"{our}.{kind}"]
            for our, their in names.items()
            for kind in ("weight", "bias")
            if f"{our}.{kind}" in weights
        }
    )


def agree(ours: Tensor, theirs: Tensor, inputs: list[Tensor], ours_of: list[Tensor], theirs_of: list[Tensor]) -> None:
    """Check outputs, and gradients with respect to inputs and weights."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    direction = torch.randn_like(ours)
    mine = torch.autograd.grad(ours, [*inputs, *ours_of], direction, retain_graph=True)
    other = torch.autograd.grad(theirs, [*inputs, *theirs_of], direction)
    for our_gradient, their_gradient in zip(mine, other, strict=True):
        scale = max(1.0, float(their_gradient.abs().max()))
        torch.testing.assert_close(our_gradient / scale, their_gradient / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pair", [gated_linear_unit, gate_add_norm, gated_residual_network])
def test_gated_layers_are_those_of_pytorch_forecasting(
    pair: Callable[[], tuple[nn.Module, nn.Module, dict[str, str]]],
) -> None:
    """From the same weights: the same outputs and gradients to 1e-5."""
    torch.manual_seed(1)
    ours, theirs, names = pair()
    copied(ours, theirs, names)
    inputs = [torch.randn(5, 7, _SIZE, requires_grad=True) for _ in range(1 if pair is gated_linear_unit else 2)]
    their_weights = dict(theirs.named_parameters())
    pairs = [
        (parameter, their_weights[f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}"])
        for name, parameter in ours.named_parameters()
    ]
    agree(ours(*inputs), theirs(*inputs), inputs, [our for our, _ in pairs], [their for _, their in pairs])


def test_attention_is_that_of_pytorch_forecasting() -> None:
    """From the same weights, by head there and in one matrix here: the same outputs and gradients to 1e-5."""
    torch.manual_seed(1)
    ours = InterpretableMultiHeadAttention(_HEADS, _SIZE)
    theirs = sub_modules.InterpretableMultiHeadAttention(_HEADS, _SIZE, 0.0, mask_bias=float("-inf"))
    state = {"w_h.weight": ours.output.weight, "v_layer.weight": ours.value.weight, "v_layer.bias": ours.value.bias}
    for layers, layer in (("q_layers", ours.query), ("k_layers", ours.key)):
        for head in range(_HEADS):
            state[f"{layers}.{head}.weight"] = layer.weight.chunk(_HEADS)[head]
            state[f"{layers}.{head}.bias"] = layer.bias.chunk(_HEADS)[head]
    theirs.load_state_dict(state)
    query, values = torch.randn(5, 4, _SIZE, requires_grad=True), torch.randn(5, 9, _SIZE, requires_grad=True)
    hidden = torch.ones(4, 9, dtype=torch.bool).triu(6)
    their_output, _ = theirs(query, values, values, hidden)
    weights = [ours.value.weight, ours.output.weight], [theirs.v_layer.weight, theirs.w_h.weight]
    agree(ours(query, values, hidden), their_output, [query, values], *weights)


def test_variable_selection_is_a_weighted_sum_of_linear_maps() -> None:
    """One matrix gives the sum of a map per variable, weighted by the softmax."""
    torch.manual_seed(1)
    sizes = (6, 3, 1)
    layer = VariableSelection(sizes, _SIZE)
    values, context = torch.randn(5, 4, sum(sizes)), torch.randn(5, _SIZE)
    hidden = nn.functional.elu(layer.hidden(values) + layer.context(context)[:, None])
    weights = layer.weights(hidden).softmax(-1)
    maps = zip(values.split(sizes, -1), layer.matrix.split(sizes, 1), layer.offsets, weights.unbind(-1), strict=True)
    expected = sum((part @ matrix.T + offset) * weight[..., None] for part, matrix, offset, weight in maps)
    torch.testing.assert_close(layer(values, context), layer.norm(expected), rtol=0, atol=1e-5)

"""Heads without their activation, which has no B-cos form: what `Architecture.straighten` names."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithbench.architectures.forms import in_double, same


class SignSplit(nn.Module):
    """x ↦ (x, -x), so that a ReLU which a model hard-codes after it loses nothing; `SignJoin` undoes it exactly."""

    def forward(self, inputs: Float[Tensor, "... d"]) -> Float[Tensor, "... 2*d"]:
        return torch.cat([inputs, -inputs], dim=-1)


class SignJoin(nn.Module):
    """(max(x, 0), max(-x, 0)) ↦ x."""

    def forward(self, inputs: Float[Tensor, "... halves"]) -> Float[Tensor, "... d"]:
        positive, negative = inputs.chunk(2, dim=-1)
        return positive - negative


class FirstToken(nn.Module):
    """A pooler without its tanh: a B-cos layer on the first token's state."""

    def __init__(self, dense: nn.Module) -> None:
        super().__init__()
        self.dense = dense

    def forward(self, features: Float[Tensor, "batch tokens d"]) -> Float[Tensor, "batch d"]:
        state: Tensor = self.dense(features[:, 0])
        return state


class FirstTokenHead(nn.Module):
    """A classification head as RoBERTa's without its tanh: B-cos layers on the first token's state."""

    def __init__(self, dense: nn.Module, out_proj: nn.Module, dropout: float) -> None:
        super().__init__()
        self.dense, self.out_proj, self.dropout = dense, out_proj, nn.Dropout(dropout)

    def forward(self, features: Float[Tensor, "batch tokens d"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.out_proj(self.dropout(self.dense(self.dropout(features[:, 0]))))
        return logits


def without_pooler_activation(model: Any) -> None:
    """BERT's: the tanh of the pooler is a module."""
    model.bert.pooler.activation = nn.Identity()


def first_token_head(model: Any) -> None:
    """RoBERTa's: tanh is called inside the head, which is replaced."""
    old = model.classifier
    model.classifier = FirstTokenHead(old.dense, old.out_proj, old.dropout.p)


def straightened(module: nn.Module) -> nn.Module | None:
    """A part of a head without its tanh; None for what has none that can be seen.

    Tanh is a module of its own, or it is called inside a pooler or head that computes as BERT's or RoBERTa's, which is
    tried.
    """
    if isinstance(module, nn.Tanh):
        return nn.Identity()
    dense, out, dropout = (getattr(module, name, None) for name in ("dense", "out_proj", "dropout"))
    if any(isinstance(child, nn.Tanh) for child in module.children()):
        return None
    linears = [child for child in module.children() if isinstance(child, nn.Linear)]
    if isinstance(dense, nn.Linear) and linears == [dense] and _is_pooler(module, dense.in_features):
        return FirstToken(dense)
    if isinstance(out, nn.Linear) and linears == [dense, out] and _is_head(module, linears[0].in_features):
        return FirstTokenHead(linears[0], out, dropout.p if isinstance(dropout, nn.Dropout) else 0.0)
    return None


def _is_pooler(module: nn.Module, width: int) -> bool:
    twin: Any = in_double(module)
    return same(twin, lambda states: twin.dense(states[:, 0]).tanh(), width)


def _is_head(module: nn.Module, width: int) -> bool:
    twin: Any = in_double(module)
    return same(twin, lambda states: twin.out_proj(twin.dense(states[:, 0]).tanh()), width)


def signs_around_relu(model: Any) -> None:
    """DistilBERT's: nothing is lost in the ReLU between where each number goes through it with both signs."""
    model.pre_classifier = nn.Sequential(model.pre_classifier, SignSplit())
    model.classifier = nn.Sequential(SignJoin(), model.classifier)

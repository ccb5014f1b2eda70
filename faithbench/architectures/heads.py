"""Heads without their activation, which has no B-cos form: what `Architecture.straighten` names."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SignSplit(nn.Module):
    """x ↦ (x, -x), so that a ReLU which a model hard-codes after it loses nothing; `SignJoin` undoes it exactly."""

    def forward(self, inputs: Float[Tensor, "... d"]) -> Float[Tensor, "... 2*d"]:
        return torch.cat([inputs, -inputs], dim=-1)


class SignJoin(nn.Module):
    """(max(x, 0), max(-x, 0)) ↦ x."""

    def forward(self, inputs: Float[Tensor, "... halves"]) -> Float[Tensor, "... d"]:
        positive, negative = inputs.chunk(2, dim=-1)
        return positive - negative


class FirstTokenHead(nn.Module):
    """RoBERTa's classification head without its tanh: B-cos layers on the first token's state."""

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


def signs_around_relu(model: Any) -> None:
    """DistilBERT's: nothing is lost in the ReLU between where each number goes through it with both signs."""
    model.pre_classifier = nn.Sequential(model.pre_classifier, SignSplit())
    model.classifier = nn.Sequential(SignJoin(), model.classifier)

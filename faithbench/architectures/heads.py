"""Heads without the activation that a model hard-codes, which has no B-cos form."""

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

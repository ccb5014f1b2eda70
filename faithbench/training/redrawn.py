"""A model's architecture with random weights, drawn as the architecture itself begins."""

import copy

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel

from faithbench.training.checkpoint import from_settings
from faithbench.training.quiet import quiet


def redrawn(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """A model of the same configuration, and converted to B-cos alike, with weights that are drawn on the CPU.

    Args:
        model: a causal language model or a sequence classifier; stays as it is.
        seed: of the weights.
    """
    kind = AutoModelForSequenceClassification if model.get_output_embeddings() is None else AutoModelForCausalLM
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return from_settings(copy.deepcopy(model.config), kind).eval()

"""Tiny random causal language models that describe neurons, in folders, and recordings to describe."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from continuing_tokenizers import byte_level, metaspace
from transformers import GPT2Config, GPT2LMHeadModel

from faithbench.activations import NONE, Recording, Windows

TEXTS = ["0 1 2 3 4 5 6 7 8 9", "neuron active at: the cat saw a dog", "unknown\nunknown\n"]
TOKENIZERS = {"bytes": byte_level, "pieces": metaspace, "letters": lambda texts: metaspace(texts[1:])}


def writer_folder(folder: Path, kind: str = "bytes", context: int = 4096, **options: Any) -> Path:
    """A saved model with weights so large that what it says depends on what it reads.

    Args:
        folder: to save it in.
        kind: of its tokenizer.
        context: tokens that it reads.
        options: of its configuration.
    """
    tokenizer = TOKENIZERS[kind](TEXTS)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=context,
            initializer_range=0.4,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **options,
        )
        network = GPT2LMHeadModel(config).eval()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def windows(rows: list[list[int]], pieces: tuple[str, ...], documents: list[int] | None = None) -> Windows:
    """Windows of documents of their own, behind which nothing comes."""
    return Windows(
        np.array(rows),
        np.arange(len(rows)) if documents is None else np.array(documents),
        np.full(len(rows), NONE),
        pieces,
    )


def recording(
    rows: list[list[int]], activations: list[list[float]], pieces: tuple[str, ...], documents: list[int] | None = None
) -> Recording:
    """Activations in windows."""
    return Recording(windows(rows, pieces, documents), np.array(activations, dtype=np.float64))

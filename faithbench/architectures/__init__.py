"""Architectures: one file a type of transformers, found by entry point; what transformers does not say of them."""

"""Neurons of a model: where they are, what they do in documents, and how far a description of one is true."""

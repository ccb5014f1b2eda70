"""Models: the adapter to Hugging Face classifiers, the architectures it knows, and the named ones."""

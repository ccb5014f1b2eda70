"""From a name to a model that answers: backbones, fine-tuning, masked language modelling, checkpoints."""

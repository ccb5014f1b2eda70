"""Masked language modelling: of a converted model before it is fine-tuned ("B-cos then task", arXiv 2502.12992).

And of encoders that are made here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DataCollatorForLanguageModeling, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from faithbench.plan import Training
from faithbench.training.fine_tuning import accumulation, arguments, as_done, run_trainer, work_folder
from faithbench.training.hardware import hardware
from faithbench.training.keeping import finishing, forget_work
from faithbench.training.quiet import quiet
from faithbench.training.tokenising import tokenised
from faithbench.training.trainer import IGNORED, LengthGroupedTrainer

MASKED = 0.15


def masked_loss(
    outputs: ModelOutput, labels: Int[Tensor, "rows tokens"], num_items_in_batch: object = None
) -> Float[Tensor, ""]:
    """Binary cross-entropy over the vocabulary at masked positions, mean over both."""
    chosen = labels != IGNORED
    if not chosen.any():
        return outputs.logits.sum() * 0.0
    logits = outputs.logits[chosen]
    return F.binary_cross_entropy_with_logits(logits, F.one_hot(labels[chosen], logits.shape[-1]).to(logits))


def cross_entropy(
    outputs: ModelOutput, labels: Int[Tensor, "rows tokens"], num_items_in_batch: object = None
) -> Float[Tensor, ""]:
    """The usual loss of masked language modelling: mean cross-entropy at masked positions."""
    if not (labels != IGNORED).any():
        return outputs.logits.sum() * 0.0
    return F.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


class MaskedTrainer(LengthGroupedTrainer):
    """One whose model is asked only for what was masked.

    The head has an output for each word of the vocabulary. At all tokens it would take most of the memory, and what it
    says of those that are not masked is thrown away.
    """

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *_more: object, **_named: object) -> Tensor:
        """The loss at masked positions."""
        labels = inputs.pop("labels")
        chosen = labels != IGNORED
        encoder = self.accelerator.unwrap_model(model).base_model
        with only_at(encoder, chosen):
            outputs = model(**inputs)
        loss: Tensor = self.compute_loss_func(outputs, labels[chosen][None])
        return loss


@contextmanager
def only_at(encoder: nn.Module, chosen: Bool[Tensor, "rows tokens"]) -> Iterator[None]:
    """What an encoder gives are the states of chosen tokens alone, as one row; what stands behind it sees no others."""

    def choose(_module: nn.Module, _inputs: object, outputs: ModelOutput) -> ModelOutput:
        name = next(iter(outputs))  # the last states, or logits where a model is not an encoder and a head
        outputs[name] = outputs[name][chosen][None]
        return outputs

    hook = encoder.register_forward_hook(choose)
    try:
        yield
    finally:
        hook.remove()


def pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    folder: Path,
    training: Training,
    seed: int,
    device: str,
    about: Mapping[str, object],
    verbose: bool = True,
    masked: float = MASKED,
    loss: Callable[..., Tensor] = masked_loss,
) -> Path:
    """Trains a masked language model and saves its last state and its tokenizer; a killed one continues.

    Args:
        model: trained in place.
        tokenizer: its own.
        texts: what is read.
        folder: becomes one with `model.safetensors` and `training.json`, by one rename.
        training: epochs and lr must be given.
        seed: of batches, masks and dropout.
        device: `cpu`, or what Trainer finds.
        about: what model and data are, copied into the report.
        verbose: show progress, on stderr.
        masked: share of the tokens that are.
        loss: of outputs and labels.

    Returns:
        The folder.

    Raises:
        UserError: the folder cannot be written.
    """
    limit = min(training.max_length, tokenizer.model_max_length)
    rows = list(tokenised(texts, tokenizer, limit))
    training = replace(training, dataloader_num_workers=0)  # which would draw the masks otherwise
    work = work_folder(folder, training, seed)
    torch.manual_seed(seed)
    trainer = MaskedTrainer(
        accumulation(training, verbose),
        model=model,
        args=arguments(work, training, seed, len(rows), device),
        train_dataset=rows,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=masked),
        compute_loss_func=loss,
    )
    run_trainer(trainer, work, verbose)
    steps = trainer.state.max_steps
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    report = {
        **about,
        "training": as_done(training, trainer),
        "texts": {"train": len(rows)},
        "steps": steps,
        "best_step": steps,  # the last state is used
        "losses": losses,
        "hardware": hardware(trainer.args.device),
    }
    with quiet(), finishing(folder, report) as made:
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
    forget_work(folder)
    return folder

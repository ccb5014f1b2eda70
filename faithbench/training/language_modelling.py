"""Training of causal language models with transformers' Trainer: cross-entropy of every token, given those before."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, Sampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments
from transformers.utils import ModelOutput

from faithbench.errors import UserError, brief
from faithbench.models.language_zoo import LanguageModel
from faithbench.plan import Training
from faithbench.training.blocks import Blocks
from faithbench.training.fine_tuning import (
    accumulation,
    arguments,
    as_done,
    in_full_precision,
    run_trainer,
    work_folder,
)
from faithbench.training.hardware import hardware
from faithbench.training.keeping import finishing, forget_work
from faithbench.training.quiet import quiet
from faithbench.training.trainer import IGNORED, LengthGroupedTrainer

WARM_UP, FEWEST, MOST = 0.01, 50, 0.1  # of all steps; steps where that is more; of all steps, at most
STATES = 10  # that are saved in a training
LARGEST_NORM = 1.0  # of the gradient
MIN_LR, SHARE_LEFT = "cosine_with_min_lr", 0.1  # the schedule that ends at this share of the peak
OPTIMIZERS = {"adamw": "adamw_torch_fused", "adafactor": "adafactor"}
EVALUATED = 16  # blocks at a time


class BlockTrainer(LengthGroupedTrainer):
    """A trainer on blocks of one length, in random order."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows: Blocks = self.train_dataset if train_dataset is None else train_dataset
        return RandomSampler(rows)


@dataclass(frozen=True)
class Recipe:
    """How a language model is trained; `training` has its epochs, rate and precision."""

    training: Training
    optimizer: str
    schedule: str
    seed: int
    device: str
    verbose: bool = True
    weight_decay: float = 0.0
    adam_beta2: float = 0.999

    @classmethod
    def of(cls, zoo: LanguageModel, training: Training, device: str, verbose: bool) -> "Recipe":
        """That of a named model."""
        return cls(training, zoo.optimizer, zoo.schedule, zoo.seed, device, verbose, zoo.weight_decay, zoo.adam_beta2)


def next_token_loss(
    outputs: ModelOutput, labels: Int[Tensor, "rows tokens"], num_items_in_batch: object = None
) -> Float[Tensor, ""]:
    """Cross-entropy of the token behind each, mean over those that are to be predicted."""
    return F.cross_entropy(outputs.logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)


def train_language_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: Mapping[str, Blocks],
    folder: Path,
    recipe: Recipe,
    about: Mapping[str, object],
) -> Path:
    """Trains a causal language model and saves its last state; a killed training continues.

    Args:
        model: trained in place.
        tokenizer: saved beside it.
        blocks: of `train` and `validation`.
        folder: becomes a checkpoint, by one rename; `training.json` in it holds perplexity, settings and hardware.
        recipe: how.
        about: what model and data are, copied into the report.

    Returns:
        The folder.

    Raises:
        UserError: the folder cannot be written, or the loss is no number at the end.
    """
    training = recipe.training
    work = work_folder(folder, training, recipe.seed)
    torch.manual_seed(recipe.seed)
    start = time.perf_counter()
    with _without_cache(model):
        trainer = BlockTrainer(
            accumulation(training, recipe.verbose),
            model=model,
            args=_arguments(work, recipe, len(blocks["train"])),
            train_dataset=blocks["train"],
            compute_loss_func=next_token_loss,
        )
        run_trainer(trainer, work, recipe.verbose)
        in_full_precision(trainer)
        measured = perplexity(model, blocks["validation"])
    if not math.isfinite(measured["loss"]):
        forget_work(folder)
        raise UserError(
            f"the training of {brief(str(about.get('model', 'a language model')))} has diverged: its loss is no number "
            f"at the end; use a learning rate below {training.lr:g}."
        )
    report = {
        **about,
        "training": as_done(training, trainer),
        "seed": recipe.seed,
        "optimizer": recipe.optimizer,
        "schedule": recipe.schedule,
        **_optimization(recipe, trainer.args),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "block": blocks["train"].length,
        "tokens": {split: len(of.ids) for split, of in blocks.items()},
        "steps": trainer.state.max_steps,
        "best_step": trainer.state.max_steps,  # the last state is used
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "seconds_of_last_start": round(time.perf_counter() - start, 1),
        "validation": measured,
        "hardware": hardware(trainer.args.device),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    with quiet(), finishing(folder, report) as made:
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
    forget_work(folder)
    return folder


def _arguments(work: Path, recipe: Recipe, blocks: int) -> TrainingArguments:
    """Those of fine-tuning, with another schedule, another optimizer, clipped gradients, and states now and then."""
    told = arguments(work, recipe.training, recipe.seed, blocks, recipe.device)
    assert recipe.training.epochs is not None
    steps = math.ceil(blocks / recipe.training.batch_size) * recipe.training.epochs
    told.warmup_steps = warm_up(steps)
    told.lr_scheduler_type = transformers.SchedulerType(recipe.schedule)
    told.optim = transformers.training_args.OptimizerNames(OPTIMIZERS[recipe.optimizer])
    if recipe.schedule == MIN_LR:
        told.lr_scheduler_kwargs = {"min_lr_rate": SHARE_LEFT}
    told.weight_decay, told.adam_beta2 = recipe.weight_decay, recipe.adam_beta2
    told.max_grad_norm = LARGEST_NORM
    told.save_steps = told.logging_steps = math.ceil(steps / STATES)
    return told


def _optimization(recipe: Recipe, told: TrainingArguments) -> dict[str, object]:
    """What a report says of it beside its name and schedule."""
    betas = {"betas": [told.adam_beta1, told.adam_beta2]} if recipe.optimizer == "adamw" else {}
    return {**betas, "weight_decay": told.weight_decay, "warm_up_steps": told.warmup_steps}


def warm_up(steps: int) -> int:
    """Steps in which the learning rate rises: 1 % of all, or 50 where that is more, at most a tenth of all."""
    return max(math.ceil(WARM_UP * steps), min(FEWEST, math.ceil(MOST * steps)))


@contextmanager
def _without_cache(model: PreTrainedModel) -> Iterator[None]:
    """Keys and values, which only generation reads again, are not kept; Trainer, too, changes the setting."""
    before = model.config.use_cache
    model.config.use_cache = False
    try:
        yield
    finally:
        model.config.use_cache = before


def perplexity(model: PreTrainedModel, blocks: Blocks) -> dict[str, float]:
    """Of a model as it is: mean cross-entropy of a token in nats (`loss`), its exponential, and of how many tokens."""
    training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in DataLoader(blocks, batch_size=EVALUATED):
            labels = batch["labels"].to(model.device)
            logits = model(input_ids=batch["input_ids"].to(model.device), use_cache=False).logits
            losses = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none")
            total, count = total + float(losses.double().sum()), count + int((labels != IGNORED).sum())
    model.train(training)
    loss = total / count
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "tokens": count}

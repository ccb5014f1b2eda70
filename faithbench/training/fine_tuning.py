"""Fine-tuning of conventional and B-cos classifiers with transformers' Trainer (settings of arXiv 2502.12992)."""

import hashlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from transformers.utils import ModelOutput, is_torch_bf16_gpu_available

from faithbench.console import Printer, say
from faithbench.errors import UserError
from faithbench.files import writing
from faithbench.models.distribution import activations, summary
from faithbench.models.vocabulary import blank_token
from faithbench.plan import Training
from faithbench.statistics.distribution import FEWEST, Distribution
from faithbench.training.accumulation import Accumulation
from faithbench.training.hardware import hardware
from faithbench.training.keeping import finishing, forget_work, last_state, work_place
from faithbench.training.masking import HalfMasking
from faithbench.training.padding import Padding
from faithbench.training.progress import TrainingProgress
from faithbench.training.quiet import quiet
from faithbench.training.tokenising import SPECIAL, Tokenised, tokenised
from faithbench.training.trainer import LengthGroupedTrainer
from faithbench.types import Example

PUBLISHED_STEPS = 1000  # between the evaluations of the paper
EVALUATIONS_PER_EPOCH = 2  # where that would leave fewer than two
KNOWN, CHECKED = 600, 200  # texts of the check of distribution, at most: reference, and tried
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # of content tokens, masked there
BEST = {"eval_strategy": "steps", "load_best_model_at_end": True, "metric_for_best_model": "accuracy"}


def bcos_loss(
    outputs: ModelOutput, labels: Int[Tensor, "batch"], num_items_in_batch: object = None
) -> Float[Tensor, ""]:
    """Binary cross-entropy with logits on one-hot labels, mean over batch and classes."""
    targets = F.one_hot(labels, outputs.logits.shape[-1]).to(outputs.logits)
    return F.binary_cross_entropy_with_logits(outputs.logits, targets)


def cross_entropy(
    outputs: ModelOutput, labels: Int[Tensor, "batch"], num_items_in_batch: object = None
) -> Float[Tensor, ""]:
    """Cross-entropy, mean over the batch."""
    return F.cross_entropy(outputs.logits, labels)


LOSSES: Mapping[str, Callable[..., Tensor]] = {"bce": bcos_loss, "ce": cross_entropy}


def accuracies(prediction: EvalPrediction) -> dict[str, float]:
    """Accuracy and balanced accuracy (mean recall over the classes that occur), in percent."""
    logits, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    right = logits.argmax(-1) == labels
    recalls = [right[labels == c].mean() for c in np.unique(labels)]
    return {"accuracy": 100 * float(right.mean()), "balanced_accuracy": 100 * float(np.mean(recalls))}


def mean_accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """Accuracies of texts as they are and, behind them, of the same texts masked: of both, and the mean of the two."""
    forms = np.split(np.asarray(prediction.predictions), 2), np.split(np.asarray(prediction.label_ids), 2)
    plain, masked = (accuracies(EvalPrediction(*form)) for form in zip(*forms, strict=True))
    mean = {name: (value + masked[name]) / 2 for name, value in plain.items()}
    return mean | {f"masked_{name}": value for name, value in masked.items()}


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    splits: Mapping[str, Sequence[Example]],
    folder: Path,
    training: Training,
    seed: int,
    device: str,
    about: Mapping[str, object],
    loss: str = "ce",
    verbose: bool = True,
    masking: str = "none",
) -> Path:
    """Trains a classifier and saves the checkpoint of best validation accuracy; a killed training continues.

    Args:
        model: with a head of as many outputs as classes; trained in place.
        tokenizer: saved beside the model.
        splits: `train`, `validation` and `test`.
        folder: becomes a checkpoint, by one rename; `training.json` in it holds accuracies, settings and hardware.
        training: epochs and lr must be given.
        seed: of batches, dropout and masks.
        device: `cpu`, or what Trainer finds.
        about: identity of model and data, copied into the report.
        loss: `bce`, the B-cos models', or `ce`.
        verbose: show progress, on stderr.
        masking: `half`: half of each batch is masked, and the best checkpoint is that of the best mean of the accuracy
            on validation texts as they are and on the same texts masked; `none`.

    Returns:
        The folder.

    Raises:
        UserError: the folder cannot be written.
    """
    tokenizer.model_max_length = min(training.max_length, tokenizer.model_max_length)
    limits = {name: training.limit if name == "train" else training.eval_limit for name in splits}
    data = {name: _tokenised(drawn(rows, limits[name], seed), tokenizer) for name, rows in splits.items()}
    work = work_folder(folder, training, seed)
    masks = HalfMasking(blank_token(model, tokenizer).id, seed) if masking == "half" else None
    trainer = classifier_trainer(model, tokenizer, data, work, training, seed, device, loss, verbose, masks)
    start = time.perf_counter()
    run_trainer(trainer, work, verbose)
    trainer.compute_metrics = None
    in_full_precision(trainer)
    report = {
        **about,
        "training": as_done(training, trainer),
        "seed": seed,
        "texts": {name: len(rows) for name, rows in data.items()},
        "steps": trainer.state.max_steps,
        "evaluated_every": trainer.args.eval_steps,
        "best_step": trainer.state.best_global_step,
        "seconds_of_last_start": round(time.perf_counter() - start, 1),
        "best_validation_accuracy": trainer.state.best_metric,
        **{name: measured(trainer, data[name]) for name in ("validation", "test")},
        **({} if masks is None else _on_masked(trainer, data, masks)),
        "hardware": hardware(trainer.args.device),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    with quiet(), finishing(folder, report) as made:
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
    forget_work(folder)
    return folder


def classifier_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Mapping[str, Sequence[Tokenised]],
    work: Path,
    training: Training,
    seed: int,
    device: str,
    loss: str,
    verbose: bool,
    masks: HalfMasking | None,
) -> LengthGroupedTrainer:
    """The trainer of a classifier; arguments as of `fine_tune`, `data` tokenised."""
    return LengthGroupedTrainer(
        accumulation(training, verbose),
        masks,
        model=model,
        args=arguments(work, training, seed, len(data["train"]), device, masks is None, **BEST),
        train_dataset=data["train"],
        eval_dataset=_evaluated(data["validation"], masks),
        data_collator=Padding.of(tokenizer),
        compute_loss_func=LOSSES[loss],
        compute_metrics=accuracies if masks is None else mean_accuracy,
    )


def accumulation(training: Training, verbose: bool) -> Accumulation:
    """As a training begins; what it says later goes to stderr."""
    console = Printer(stderr=True) if verbose else None
    return Accumulation(training.batch_size, training.gradient_accumulation_steps, partial(say, console))


def _evaluated(rows: Sequence[Tokenised], masks: HalfMasking | None) -> list[Tokenised]:
    """Rows as accuracies are measured on them; with a masking, the same masked behind them."""
    every = rows if masks is None else [*rows, *masks.rows(rows)]
    return [{name: value for name, value in row.items() if name != SPECIAL} for row in every]


def measured(trainer: Trainer, rows: Sequence[Tokenised]) -> dict[str, float]:
    """Accuracies on rows as they are, in percent."""
    return accuracies(trainer.predict(_evaluated(rows, None)))


def _on_masked(trainer: Trainer, data: Mapping[str, Sequence[Tokenised]], masks: HalfMasking) -> dict[str, object]:
    """Accuracies on the same texts masked, and whether masked texts are in the model's distribution."""
    told: dict[str, object] = {
        f"{name}_masked": measured(trainer, masks.rows(data[name])) for name in ("validation", "test")
    }
    if len(data["validation"]) < FEWEST:
        return told
    return told | {"distribution": _distribution(trainer, data["validation"][:KNOWN], data["test"][:CHECKED], masks)}


def _distribution(
    trainer: Trainer, known: Sequence[Tokenised], texts: Sequence[Tokenised], masks: HalfMasking
) -> dict[str, object]:
    """Test texts, so many of their tokens masked, against validation texts as in training: every second masked."""
    mixed = [pair[i % 2] for i, pair in enumerate(zip(known, masks.rows(known), strict=True))]
    order = np.random.default_rng(masks.seed).permutation(len(mixed))
    distribution = Distribution(_activations(trainer, [mixed[i] for i in order]))
    shares = {
        f"{share:g}": summary(distribution.p_values(_activations(trainer, masks.rows(texts, share))))
        for share in SHARES
    }
    return {"reference": len(known), "texts": len(texts), "masked": shares}


def _activations(trainer: Trainer, rows: Sequence[Tokenised]) -> Float[np.ndarray, "inputs layers features"]:
    """Of the model as it is after training, on its device."""
    model = trainer.model.eval()
    batches = trainer.get_eval_dataloader(_evaluated(rows, None))
    inputs = ({name: value for name, value in batch.items() if name != "labels"} for batch in batches)
    return activations(model, ({name: value.to(model.device) for name, value in batch.items()} for batch in inputs))


def work_folder(folder: Path, training: Training, seed: int) -> Path:
    """Where a training with these settings keeps its states: another with others begins anew."""
    return work_place(folder) / f"trainer-{hashlib.sha256(repr((training.recipe, seed)).encode()).hexdigest()[:8]}"


def as_done(training: Training, trainer: LengthGroupedTrainer) -> dict[str, object]:
    """The settings, with the parts in which batches were read at last."""
    return asdict(training) | {"gradient_accumulation_steps": trainer.accumulation.steps}


def in_full_precision(trainer: Trainer) -> None:
    """Ends autocast, so that accuracies are those of the model as it is saved and used."""
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)


def drawn(rows: Sequence[Example], limit: int | None, seed: int) -> Sequence[Example]:
    """So many rows at random, in their order; all of them for None."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[i] for i in sorted(np.random.default_rng(seed).choice(len(rows), limit, replace=False))]


def run_trainer(trainer: Trainer, work: Path, verbose: bool) -> None:
    """Trains, from the last state in the folder if there is one; progress goes to stderr.

    Raises:
        UserError: the folder cannot be written.
    """
    progress = TrainingProgress(Printer(stderr=True) if verbose else None)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(progress)
    # what libraries print goes where no tables go
    with writing(f"folder {work}"), quiet(), redirect_stdout(sys.stderr):
        try:
            trainer.train(resume_from_checkpoint=last_state(work))
        finally:
            progress.close()


def arguments(
    folder: Path,
    training: Training,
    seed: int,
    texts: int,
    device: str,
    only_inputs: bool = True,
    **more: object,
) -> TrainingArguments:
    """The paper's settings.

    The state is evaluated and saved every 1,000 steps as there, in a training of fewer than 2,000 twice an epoch.

    Args:
        folder: of the states.
        training: epochs and lr must be given.
        seed: of batches and dropout.
        texts: that are trained on.
        device: `cpu`, or what Trainer finds.
        only_inputs: leave out columns that the model does not take.
        more: of `TrainingArguments`.
    """
    assert training.epochs is not None
    assert training.lr is not None
    check_precision(training.precision, device)
    steps = math.ceil(texts / training.batch_size)
    every = evaluated_every(steps, training.epochs)
    told = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=training.epochs,
        learning_rate=training.lr,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=64,
        weight_decay=0.0,
        max_grad_norm=0.0,
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(0.1 * steps * training.epochs),
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        logging_steps=every,
        logging_nan_inf_filter=False,  # which looks at every step's loss, and so waits for the device
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=only_inputs,
        bf16=training.precision == "bf16",
        dataloader_num_workers=training.dataloader_num_workers,
        **more,
    )
    told._n_gpu = min(told.n_gpu, 1)  # several would each take a batch
    return told


def check_precision(precision: str, device: str) -> None:
    """Raises a UserError for a precision that a device does not know."""
    if precision == "bf16" and device != "cpu" and not is_torch_bf16_gpu_available():
        raise UserError(f"device {device!r} has no bfloat16, which precision=bf16 needs; use precision=float32.")


def evaluated_every(steps: int, epochs: int) -> int:
    """Steps between evaluations, of so many steps an epoch."""
    if steps * epochs >= 2 * PUBLISHED_STEPS:
        return PUBLISHED_STEPS
    return max(1, math.ceil(steps / EVALUATIONS_PER_EPOCH))


def _tokenised(rows: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> list[Tokenised]:
    """Token ids, which of them are special, and label of each row."""
    pairs = [row.pair or "" for row in rows] if any(row.pair is not None for row in rows) else None
    found = tokenised([row.text for row in rows], tokenizer, tokenizer.model_max_length, pairs)
    return [tokens | {"label": row.label} for tokens, row in zip(found, rows, strict=True)]

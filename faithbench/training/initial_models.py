"""Models as fine-tuning finds them: converted, from scratch, pre-trained (arXiv 2502.12992, Table 3; see `Bcos`)."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase

from faithbench.bcos.convert import convert
from faithbench.errors import UserError
from faithbench.models.zoo import Bcos, Conventional
from faithbench.plan import Training
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import Component
from faithbench.training.backbones import load_backbone
from faithbench.training.checkpoint import WEIGHTS, load_conventional
from faithbench.training.encoder_backbones import encoder
from faithbench.training.fine_tuning import drawn, fine_tune
from faithbench.training.keeping import FinishedReport, fault, report_of
from faithbench.training.masked_modelling import pretrain
from faithbench.training.settings import MLM_LR
from faithbench.types import Example

FOLDER = "start"  # of the first phase, inside the folder of the training; gone when that is finished


@dataclass(frozen=True)
class InitialModel:
    """A model to be fine-tuned, its tokenizer, the loss, and the report of a first phase if there was one."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    loss: str = "ce"
    about: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingJob:
    """What there is to train on and how; `training` has its epochs and rate, `folder` gets a first phase."""

    dataset: Component
    splits: Mapping[str, Sequence[Example]]
    folder: Path
    training: Training
    device: str
    verbose: bool


def initial_model(zoo: Conventional | Bcos, job: TrainingJob) -> InitialModel:
    """The model that a name of the zoo stands for, before it is fine-tuned; a first phase is trained now.

    Raises:
        UserError: backbone or data cannot be had, or the data are none that a classifier can be trained on.
    """
    check_labels(job.dataset, job.splits)
    network, tokenizer = _backbone(zoo, job)
    if isinstance(zoo, Conventional):
        return InitialModel(network, tokenizer)
    if zoo.start == "scratch":
        torch.manual_seed(zoo.seed)
        network = type(network)(network.config)
    if zoo.start == "task":
        report = _task(zoo, job, network, tokenizer)
        network = load_conventional(str(job.folder / FOLDER))
        return InitialModel(_converted(network, zoo), tokenizer, zoo.loss, {"start": report})
    network = _converted(network, zoo)
    if zoo.start == "mlm":
        report = _masked(zoo, job)
        prefix = network.base_model_prefix + "."
        weights = load_file(job.folder / FOLDER / WEIGHTS)
        encoder = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        found = network.base_model.load_state_dict(encoder, strict=False)
        assert all(name.startswith("pooler.") for name in found.missing_keys), found.missing_keys
        return InitialModel(network, tokenizer, zoo.loss, {"start": report})
    return InitialModel(network, tokenizer, zoo.loss)


def _finished(folder: Path, training: Training, about: Mapping[str, object]) -> bool:
    """Whether a first phase is there, whole and with just these settings; another is removed."""
    if not folder.exists():
        return False
    report = None if fault(folder, FinishedReport) else report_of(folder)
    same = report is not None and not training.differences(report["training"]) and about.items() <= report.items()
    if not same:
        shutil.rmtree(folder)
    return same


def _backbone(
    zoo: Conventional | Bcos, job: TrainingJob, **head: object
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    names, rows = job.dataset.object.class_names, job.splits["train"]
    texts = [text for row in rows for text in (row.text, row.pair) if text is not None]
    made = encoder(zoo.backbone, job.device, job.verbose) if zoo.backbone.pretraining else None
    network, tokenizer = load_backbone(zoo.backbone, len(names), zoo.seed, texts, made=made, **head)
    network.config.id2label = dict(enumerate(names))
    network.config.label2id = {name: i for i, name in enumerate(names)}
    return network, tokenizer


def check_labels(dataset: Component, splits: Mapping[str, Sequence[Example]]) -> None:
    """A classifier can be trained: every text has one label, and there are two classes or more.

    Raises:
        UserError: not so.
    """
    names = dataset.object.class_names
    for split, rows in splits.items():
        bare = next((row for row in rows if row.label is None), None)
        if bare is not None:
            what = "several labels" if bare.labels is not None else "no label"
            raise UserError(
                f"no model can be trained on {dataset.identity}: text {bare.id!r} of the {split} split has {what}, and "
                "training needs one each."
            )
    if len(names) < 2:
        raise UserError(
            f"no model can be trained on {dataset.identity}, which has only one class; at least two are needed."
        )
    if len({row.pair is None for rows in splits.values() for row in rows}) > 1:
        raise UserError(f"no model can be trained on {dataset.identity}: some of its texts are pairs, others are not.")


def _converted(network: PreTrainedModel, zoo: Bcos) -> PreTrainedModel:
    return convert(network, zoo.b, zoo.qkv, zoo.biases, zoo.embedding_bias)


def _task(
    zoo: Bcos, job: TrainingJob, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> Mapping[str, object]:
    """Fine-tunes the conventional model."""
    folder, training = job.folder / FOLDER, replace(job.training, epochs=zoo.start_epochs)
    about = {"start": zoo.start}
    if not _finished(folder, training, about):
        how = "ce", job.verbose, zoo.masking
        fine_tune(network, tokenizer, job.splits, folder, training, zoo.seed, job.device, about, *how)
    return report_of(folder) or {}


def _masked(zoo: Bcos, job: TrainingJob) -> Mapping[str, object]:
    """Trains the converted model to tell what was masked."""
    folder, training = job.folder / FOLDER, replace(job.training, epochs=zoo.start_epochs, lr=MLM_LR)
    source = build_dataset(zoo.mlm_data) if zoo.mlm_data else job.dataset
    about = {"start": zoo.start, "dataset": source.identity}
    if not _finished(folder, training, about):
        rows = source.object.load("train")
        network, tokenizer = _backbone(zoo, job, head=AutoModelForMaskedLM)
        texts = ["\n".join(filter(None, (row.text, row.pair))) for row in drawn(rows, training.limit, zoo.seed)]
        pretrain(_converted(network, zoo), tokenizer, texts, folder, training, zoo.seed, job.device, about, job.verbose)
    return report_of(folder) or {}

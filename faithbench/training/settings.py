"""What a named model is trained with where nobody says otherwise."""

import os
from dataclasses import replace
from pathlib import Path

from faithbench.errors import UserError
from faithbench.models.language_zoo import CONVENTIONAL, SCRATCH, BcosLanguageModel, LanguageModel
from faithbench.models.zoo import Backbone, Bcos, Conventional, zoo_model
from faithbench.plan import AUTO, Training
from faithbench.plugins import finding, spec
from faithbench.plugins.naming import ModelRef, build_dataset
from faithbench.plugins.spec import Component
from faithbench.training.keeping import ClassifierReport, FinishedReport, LanguageReport, weights_hash

BACKBONES_VARIABLE = "FAITHBENCH_BACKBONES"
LR = 2e-5  # peak learning rate of backbones and data sets that have none of their own
MLM_LR = 1e-4  # of masked language modelling


def complete_training(model: Component, dataset: Component, asked: Training) -> Training:
    """The settings of a named model's training, with none left open but the precision of a language model.

    Args:
        model: of the zoo; epochs that its name gives come first.
        dataset: what it is trained on.
        asked: by a plan or command.
    """
    zoo: Conventional | Bcos | LanguageModel = model.object
    if isinstance(zoo, LanguageModel):
        return replace(asked, epochs=zoo.epochs or asked.epochs or zoo.usual_epochs, lr=asked.lr or zoo.usual_lr)
    return replace(
        asked,
        epochs=getattr(zoo, "epochs", 0) or asked.epochs or zoo.backbone.epochs,
        lr=asked.lr or zoo.backbone.lr or dataset.traits.lr or LR,
        precision="float32" if asked.precision == AUTO else asked.precision,
    )


def with_precision(asked: Training, has_bfloat16: bool) -> Training:
    """The settings of a language model's training on a device that computes in bfloat16, or does not.

    Where the precision was left open (`auto`) it is bf16 if it can be, else float32.
    """
    return replace(asked, precision="bf16" if has_bfloat16 else "float32") if asked.precision == AUTO else asked


def training_dataset(dataset: Component) -> Component:
    """The data set that models for a data set are trained on: itself, but for one that is made of another's texts."""
    base = dataset.traits.base
    return dataset if base is None else build_dataset(base)


def training_data(model: ModelRef, dataset: Component) -> Component:
    """The data set that a model is trained on that is asked about another: of a language model, what its name says.

    Where that says nothing it is the `training_dataset`; of language models, one for all that share its texts.
    """
    named = zoo_model(model.root)
    if named is None or not isinstance(named.object, LanguageModel):
        return training_dataset(dataset)
    base = training_dataset(build_dataset(named.object.data) if named.object.data else dataset)
    learnt = learnt_from(base.identity, base)
    return base if learnt == base.identity else build_dataset(learnt)


def learnt_from(identity: str, dataset: Component) -> str:
    """What of a data set's identity decides a training: not the parameters that shape its test split alone.

    Args:
        identity: of a data set.
        dataset: one of the same class, which names these parameters in `test_only`.
    """
    only = getattr(dataset.object, "test_only", ())
    if not only:
        return identity
    name, _, parameters = spec.parse(identity)
    return spec.write(name, {key: value for key, value in parameters.items() if key not in only})


def local_backbone(backbone: Backbone) -> Path | None:
    """The folder of a backbone below `$FAITHBENCH_BACKBONES`, if it is there."""
    folder = os.environ.get(BACKBONES_VARIABLE)
    local = Path(folder) / backbone.name if folder else None
    return local if local is not None and local.is_dir() else None


def pretrained_as(backbone: Backbone) -> str:
    """What decides the weights of a backbone that is made here: its recipe and data, or the folder of the user's own.

    Nothing of others, whose revision is pinned.
    """
    if backbone.pretraining is None:
        return ""
    if (local := local_backbone(backbone)) is not None:
        return weights_hash(local)
    data = build_dataset(backbone.pretraining.data)
    return f"{backbone.pretraining} {data.identity} {data.content}"


def report_kind(model: Component) -> type[FinishedReport]:
    """What the report of a named model's training holds."""
    return LanguageReport if isinstance(model.object, LanguageModel) else ClassifierReport


def start_of(model: Component) -> Component | str | None:
    """What a language model is converted from: a named one, a folder or hub id; None if nothing trained.

    Raises:
        UserError: a named one is no conventional language model.
    """
    zoo = model.object
    if not isinstance(zoo, BcosLanguageModel) or zoo.start == SCRATCH:
        return None
    text = zoo.conventional_spec if zoo.start == CONVENTIONAL else zoo.start
    shape = spec.SHAPE.fullmatch(text)
    if shape is None or shape[1] not in finding.find("model"):
        return text
    named = spec.build("model", text)
    if not isinstance(named.object, LanguageModel) or isinstance(named.object, BcosLanguageModel):
        raise UserError(f"start={text!r} is not allowed; it must be a conventional language model, such as conv-gpt2.")
    return named


def start_training(asked: Training) -> Training:
    """The settings for what is converted, which has epochs and a rate of its own."""
    return replace(asked, epochs=None, lr=None)

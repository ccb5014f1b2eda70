"""What `faithbench train` does: a named model is trained on a data set, or one that is another changed learns there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from faithbench.errors import UserError, short
from faithbench.models.language_zoo import LanguageModel
from faithbench.models.zoo import zoo_model
from faithbench.plan import Training
from faithbench.plugins import spec
from faithbench.plugins.naming import ModelRef, build_dataset, is_named
from faithbench.plugins.spec import Component
from faithbench.training.named_models import trained
from faithbench.training.prepare import prepare
from faithbench.training.settings import training_data
from faithbench.training.setup import Setup, best_device

TASKS = ("lm", "classification")


def train(
    model: str,
    dataset: Path | str,
    training: Training = Training(),
    *,
    seed: int | None = None,
    masking: str | None = None,
    task: str | None = None,
    device: str | None = None,
    console: Console | None = None,
) -> tuple[Path, Mapping[str, Any]]:
    """Trains a named model on a data set, unless that has been done; a killed training continues.

    Args:
        model: a spec, such as `bcos-minilm` or `bcos-bert(b=2.0)`.
        dataset: a spec, or a folder with `train`, `validation` and `test` files.
        training: the settings.
        seed: of the model, where its spec does not say.
        masking: likewise, of classifiers: `half` masks half of each batch, `none` nothing.
        task: `classification` or, of language models, `lm`; None for that of the model.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        console: where progress goes; None for silence.

    Returns:
        The checkpoint's folder, and the report: accuracies in percent or the perplexity, settings, hardware.

    Raises:
        UserError: a name is not known, or there is a checkpoint that was trained with other settings.
    """
    if not is_named(model):
        raise UserError(f"model {model!r} is a folder or hub id; only named models can be trained.")
    told = {name: value for name, value in (("seed", seed), ("masking", masking)) if value is not None}
    ref = ModelRef(model, spec.build("model", model, told))
    setup = Setup(best_device(device), training=training, console=console)
    if ref.made_of is not None:
        return _train_changed(ref, build_dataset(str(dataset)), setup)
    zoo = zoo_model(ref)
    if zoo is None:
        raise UserError(f"model {model!r} is a plugin's own and cannot be trained by this command.")
    _check_task(model, zoo, task, masking)
    data = training_data(ModelRef(zoo.spec, zoo), build_dataset(str(dataset)))
    checkpoint = trained(zoo, data, setup)
    return checkpoint.folder, checkpoint.report


def _train_changed(model: ModelRef, dataset: Component, setup: Setup) -> tuple[Path, Mapping[str, Any]]:
    """What a model learns that is another one changed."""
    assert model.component is not None
    assert model.made_of is not None
    if not hasattr(model.component.object, "learnt"):
        raise UserError(f"model {model.label} learns nothing; train what it is made of, {model.made_of.label}.")
    prepared = prepare(model, dataset, setup)
    folder = Path(getattr(prepared.origin and prepared.origin.changed, "folder", ""))
    return folder, prepared.report


def _check_task(text: str, model: Component, task: str | None, masking: str | None) -> None:
    """The model is for the task, if one is named, and can be masked if it is to be.

    Raises:
        UserError: not so.
    """
    own = "lm" if isinstance(model.object, LanguageModel) else "classification"
    if task is not None and task not in TASKS:
        raise UserError(f"task={short(task)} is not allowed; use {' or '.join(TASKS)}.")
    if task not in (None, own):
        others = "conv-gpt2 or bcos-llama" if task == "lm" else "conv-minilm or bcos-bert"
        raise UserError(
            f"task={task} is not allowed for model {text!r}, whose task is {own}; use {others}, for instance."
        )
    if own == "lm" and masking is not None:
        raise UserError(f"masking={masking!r} is not allowed for model {text!r}: language models are not masked.")

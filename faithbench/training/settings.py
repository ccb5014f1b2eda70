"""What a named model is trained with where nobody says otherwise."""

from dataclasses import replace

from faithbench.models.zoo import Bcos, Conventional
from faithbench.plan import Training
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import Component

LR = 2e-5  # peak learning rate of backbones and data sets that have none of their own
MLM_LR = 1e-4  # of masked language modelling


def complete_training(model: Component, dataset: Component, asked: Training) -> Training:
    """The settings of a named model's training, with none left open.

    Args:
        model: of the zoo; epochs that its name gives come first.
        dataset: what it is trained on.
        asked: by a plan or command.
    """
    zoo: Conventional | Bcos = model.object
    return replace(
        asked,
        epochs=getattr(zoo, "epochs", 0) or asked.epochs or zoo.backbone.epochs,
        lr=asked.lr or zoo.backbone.lr or dataset.traits.lr or LR,
    )


def training_dataset(dataset: Component) -> Component:
    """The data set that models for a data set are trained on: itself, but for one that is made of another's texts."""
    base = dataset.traits.base
    return dataset if base is None else build_dataset(base)


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

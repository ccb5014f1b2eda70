"""A plan resolved once: each data set with each model, its components built; all that can be wrong is found here."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from faithbench.activations import UNIT
from faithbench.documents.building import check_judge
from faithbench.errors import UserError
from faithbench.models.zoo import zoo_model
from faithbench.plan import Plan, Training
from faithbench.plugins.naming import ModelRef, build_dataset, refer, resolve
from faithbench.plugins.spec import Component
from faithbench.running.grid import Selection, select_components, why_not
from faithbench.running.neuron_plans import check_components, check_settings, unit_of
from faithbench.training.prepare import check_model
from faithbench.training.settings import complete_training, training_data, training_dataset
from faithbench.training.setup import Setup, best_device
from faithbench.types import Link

Cell = tuple[str, str, str, str]  # identities of data set, model, explainer, metric


@dataclass(frozen=True)
class BlockPlan:
    """One model on one data set: what is to be measured, and how. Can be pickled.

    Args:
        dataset: as it is for the model.
        base: what a named model is trained on.
        model: which.
        selection: explainers and metrics; which of the metrics fit is known once there are examples.
        training: settings that were asked for.
        split: of the data set.
        limit: texts, or neurons; None for all.
        dtype: of the model.
    """

    dataset: Component
    base: Component
    model: ModelRef
    selection: Selection
    training: Training
    split: str
    limit: int | None
    dtype: str

    def cells(self, offered: Collection[str], model: str | None = None, link: Link = "softmax") -> Iterator[Cell]:
        """Each explainer with each metric that fits.

        Args:
            offered: what a metric can find in the data.
            model: as records name it, where a plan does so otherwise.
            link: of the model.
        """
        for metric in self.selection.metrics:
            if link in metric.traits.links and why_not(metric, self.dataset, offered) is None:
                for explainer in self.selection.explainers:
                    yield self.dataset.identity, model or self.model.identity, explainer.identity, metric.identity

    @property
    def complete_training(self) -> Training | None:
        """The settings with none left open; None for a model that is not trained here."""
        zoo = zoo_model(self.model.root)
        return complete_training(zoo, self.base, self.training) if zoo else None


@dataclass(frozen=True)
class Agenda:
    """Plans, and the blocks of each."""

    plans: tuple[Plan, ...]
    blocks: tuple[tuple[BlockPlan, ...], ...]

    def of(self, plan: Plan) -> tuple[BlockPlan, ...]:
        """The blocks of one plan.

        Raises:
            UserError: the agenda was made of others.
        """
        if plan not in self.plans:
            raise UserError("the agenda was made of other plans; leave it out, or make it of this one.")
        return self.blocks[self.plans.index(plan)]


def resolve_plan(plan: Plan) -> tuple[BlockPlan, ...]:
    """The blocks of a plan, whether or not they can be run here.

    Raises:
        UserError: a component is not known or cannot be built.
    """
    named, models = [build_dataset(text) for text in plan.datasets], [refer(text) for text in plan.models]
    unit = unit_of(named)
    check_components(plan, unit)
    if unit == UNIT:
        check_settings(plan, named)
    selection = select_components(plan, unit)
    bases = {dataset.identity: training_dataset(dataset) for dataset in named}
    blocks = (
        BlockPlan(
            resolve(dataset, model),
            training_data(model, bases[dataset.identity]),
            model,
            selection,
            plan.training,
            dataset.object.split if unit == UNIT else plan.split,
            plan.limit,
            plan.dtype,
        )
        for dataset in named
        for model in models
    )
    return tuple({(block.dataset.identity, block.model.identity): block for block in blocks}.values())


def make_agenda(plans: Sequence[Plan], device: str | None = None, train: bool = True) -> Agenda:
    """Resolves the plans of one run and looks for mistakes, before any data are loaded.

    Whether models are those of the tables that a plan is like, `faithbench.check_likes` says.

    Args:
        plans: which.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        train: whether a named model that has no checkpoint yet may be trained.

    Raises:
        UserError: there is no such device, a component is not known or cannot be built, a model would have to be
            trained and may not be, or two plans train one model in two ways.
    """
    best_device(device)
    agenda = Agenda(tuple(plans), tuple(map(resolve_plan, plans)))
    trainings: dict[tuple[str, str], Training] = {}
    for blocks in agenda.blocks:
        _check_models(blocks, train)
        for block in blocks:
            asked = block.complete_training
            if asked is not None:
                first = trainings.setdefault((block.model.identity, block.base.identity), asked)
                _check_same(block, first, asked)
    return agenda


def _check_models(blocks: Sequence[BlockPlan], train: bool) -> None:
    """Models and judges are there, or may be trained."""
    setup = Setup(training=blocks[0].training, train=train)  # of all blocks of a plan
    for block in blocks:
        check_model(block.model, block.base, setup)
    for dataset in {block.dataset.identity: block.dataset for block in blocks}.values():
        if dataset.traits.for_model:
            check_judge(dataset, setup)


def _check_same(block: BlockPlan, first: Training, asked: Training) -> None:
    apart = ", ".join(f"{name}={one} and {other}" for name, one, other in first.differences(asked))
    if apart:
        raise UserError(
            f"the plans train {block.model.label} on {block.base.label} in two ways: {apart}; give both the same "
            "[training], or run them into two folders with two caches."
        )

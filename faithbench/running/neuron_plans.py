"""What of a plan is for texts alone, and is refused where its data sets are of neurons; and the other way round."""

from collections.abc import Sequence

from faithbench.activations import UNIT
from faithbench.errors import UserError, brief
from faithbench.plan import AUTO, MIXED, TF32, Plan
from faithbench.plugins import finding
from faithbench.plugins.finding import OF_NEURONS
from faithbench.plugins.spec import Component, parse

USUAL_SPLIT = "test"  # of a plan that says nothing of it


def unit_of(datasets: Sequence[Component]) -> str:
    """What records of a plan are of.

    Raises:
        UserError: of some of its data sets they are of texts, of others of neurons.
    """
    units = {dataset.traits.unit: dataset.label for dataset in datasets}
    if len(units) > 1:
        raise UserError(
            f"{brief(units[UNIT])} is about neurons and {brief(units['text'])} about texts, whose explainers and "
            "metrics are others; put them into two plans."
        )
    return next(iter(units))


def check_components(plan: Plan, unit: str) -> None:
    """What a plan names is for what its records are of.

    Raises:
        UserError: an explainer or metric is named in a study of neurons, or a describer or score for texts.
    """
    for kind, texts in (("explainer", plan.explainers), ("metric", plan.metrics)):
        for text in texts:
            name = parse(text)[0]
            of_texts, of_neurons = name in finding.find(kind), name in finding.find(OF_NEURONS[kind])
            if unit == UNIT and of_texts and not of_neurons:
                raise UserError(
                    f"{kind} {name!r} is for texts, and {brief(plan.datasets[0])} is about neurons; these have "
                    f"{OF_NEURONS[kind]}s: {', '.join(finding.find(OF_NEURONS[kind]))}."
                )
            if unit != UNIT and of_neurons and not of_texts:
                raise UserError(
                    f"{OF_NEURONS[kind]} {name!r} is for neurons, and {brief(plan.datasets[0])} holds texts; give a "
                    "data set such as neurons(imdb)."
                )


def check_settings(plan: Plan, datasets: Sequence[Component]) -> None:
    """A study of neurons can be carried out as a plan says.

    Raises:
        UserError: it says something that is for texts.
    """
    if plan.until is not None:
        raise UserError(
            f"until={plan.until:g} adds texts until leaders are known, and neurons are not added so; leave it out, and "
            "say with per_layer=… how many there are."
        )
    if plan.dtype in (AUTO, MIXED, TF32):
        raise UserError(
            f"dtype={plan.dtype!r} is for texts, whose scores tell what it does; neurons are recorded in float32, "
            "float64, bfloat16 or float16."
        )
    if plan.protocol is not None:
        raise UserError(f"protocol={plan.protocol!r} is for texts; the scores of neurons have none, so leave it out.")
    for dataset in datasets:
        if plan.split not in (USUAL_SPLIT, dataset.object.split):
            raise UserError(
                f"split={plan.split!r} is not allowed: {brief(dataset.label)} says itself which its documents are of; "
                f"write split={plan.split} into its brackets."
            )


def check_alone(workers: object) -> None:
    """One process does all.

    Raises:
        UserError: others are to share the work.
    """
    if workers not in (None, 1, "1"):
        raise UserError(
            f"workers={workers} is for texts; neurons are recorded, described and scored by one process, so leave it "
            "out."
        )

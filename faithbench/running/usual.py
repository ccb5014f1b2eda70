"""Which explainers a command runs that names none: all on tiny models, on others those that cost little."""

from dataclasses import dataclass

from faithbench.activations import UNIT
from faithbench.models.zoo import is_tiny
from faithbench.plan import Plan
from faithbench.plugins.naming import build_dataset, refer
from faithbench.running.grid import select_components
from faithbench.running.neuron_plans import unit_of


@dataclass(frozen=True)
class Usual:
    """Explainers that are run, none for all that are installed; and those that are left out for what they cost."""

    explainers: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unit: str = "text"

    @property
    def line(self) -> str:
        """What a person should be told; "" for nothing."""
        if not self.left_out:
            return ""
        if self.unit == UNIT:
            return (
                f"{len(self.explainers)} describers are run, those that cost little; --explainer all runs "
                f"{', '.join(self.left_out)} too, which take long for a neuron."
            )
        return (
            f"{len(self.explainers)} explainers are run, those that cost little; --explainer all runs "
            f"{', '.join(self.left_out)} too, which ask the model hundreds of rows a text or more."
        )


def usual_explainers(plan: Plan) -> Usual:
    """What stands for no name of an explainer in a command: all if each model is tiny, else those not `dear`.

    Raises:
        UserError: a model cannot be one.
    """
    if plan.explainers or all(is_tiny(refer(model)) for model in plan.models):
        return Usual()
    unit = unit_of([build_dataset(text) for text in plan.datasets])
    chosen = select_components(plan, unit).explainers
    left_out = tuple(each.label for each in chosen if each.traits.dear)
    return Usual(tuple(each.label for each in chosen if not each.traits.dear), left_out, unit) if left_out else Usual()

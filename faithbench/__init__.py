"""faithbench: can an explanation of a language model be believed?

Everything public is here, loaded on first use so that `import faithbench` costs nothing.
"""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithbench import bcos
    from faithbench.boards.checking import check as check_boards
    from faithbench.boards.continuing import continue_board
    from faithbench.boards.publishing import build as build_boards
    from faithbench.boards.publishing import publish
    from faithbench.comparing.against import against_all
    from faithbench.comparing.compare import comparison
    from faithbench.comparing.meta import meta_evaluation
    from faithbench.conformance.checking import check
    from faithbench.conformance.describing import describe
    from faithbench.documents.building import build_documents
    from faithbench.errors import UserError
    from faithbench.exporting.export import export
    from faithbench.figures.making import figure
    from faithbench.importing.in_memory import score
    from faithbench.importing.run import import_attributions
    from faithbench.paper.figures import paper_figure
    from faithbench.paper.fill_table import check_likes, paper_table
    from faithbench.plan import Plan, Training, read_plan
    from faithbench.plugins.listing import components
    from faithbench.reporting.neuron import SeenNeuron, SeenNeurons, neuron
    from faithbench.reporting.report import report
    from faithbench.running.agenda import make_agenda as check_plans
    from faithbench.running.attribute import attribute
    from faithbench.running.cost import cost
    from faithbench.running.explain import explain
    from faithbench.running.explanation import Explanation, Explanations
    from faithbench.running.generation import Generation, Generations
    from faithbench.running.options import check_options
    from faithbench.running.until import run
    from faithbench.running.usual import usual_explainers
    from faithbench.studies.making import make_study
    from faithbench.studies.reading import read_study
    from faithbench.tables.table import failures, render, table
    from faithbench.training.surrogate import train_surrogate
    from faithbench.training.train import train

__all__ = [
    "Explanation",
    "Explanations",
    "Generation",
    "Generations",
    "Plan",
    "SeenNeuron",
    "SeenNeurons",
    "Training",
    "UserError",
    "against_all",
    "attribute",
    "bcos",
    "build_boards",
    "build_documents",
    "check",
    "check_boards",
    "check_likes",
    "check_options",
    "check_plans",
    "comparison",
    "components",
    "continue_board",
    "cost",
    "describe",
    "explain",
    "export",
    "failures",
    "figure",
    "import_attributions",
    "make_study",
    "meta_evaluation",
    "neuron",
    "paper_figure",
    "paper_table",
    "publish",
    "read_plan",
    "read_study",
    "render",
    "report",
    "run",
    "score",
    "table",
    "train",
    "train_surrogate",
    "usual_explainers",
]
_HOMES = {
    "Explanation": "faithbench.running.explanation:Explanation",
    "Explanations": "faithbench.running.explanation:Explanations",
    "Generation": "faithbench.running.generation:Generation",
    "Generations": "faithbench.running.generation:Generations",
    "Plan": "faithbench.plan:Plan",
    "SeenNeuron": "faithbench.reporting.neuron:SeenNeuron",
    "SeenNeurons": "faithbench.reporting.neuron:SeenNeurons",
    "Training": "faithbench.plan:Training",
    "UserError": "faithbench.errors:UserError",
    "against_all": "faithbench.comparing.against:against_all",
    "attribute": "faithbench.running.attribute:attribute",
    "bcos": "faithbench.bcos",
    "build_boards": "faithbench.boards.publishing:build",
    "build_documents": "faithbench.documents.building:build_documents",
    "check": "faithbench.conformance.checking:check",
    "check_boards": "faithbench.boards.checking:check",
    "check_likes": "faithbench.paper.fill_table:check_likes",
    "check_options": "faithbench.running.options:check_options",
    "check_plans": "faithbench.running.agenda:make_agenda",
    "continue_board": "faithbench.boards.continuing:continue_board",
    "comparison": "faithbench.comparing.compare:comparison",
    "components": "faithbench.plugins.listing:components",
    "cost": "faithbench.running.cost:cost",
    "describe": "faithbench.conformance.describing:describe",
    "explain": "faithbench.running.explain:explain",
    "export": "faithbench.exporting.export:export",
    "failures": "faithbench.tables.table:failures",
    "figure": "faithbench.figures.making:figure",
    "import_attributions": "faithbench.importing.run:import_attributions",
    "make_study": "faithbench.studies.making:make_study",
    "meta_evaluation": "faithbench.comparing.meta:meta_evaluation",
    "neuron": "faithbench.reporting.neuron:neuron",
    "paper_figure": "faithbench.paper.figures:paper_figure",
    "paper_table": "faithbench.paper.fill_table:paper_table",
    "publish": "faithbench.boards.publishing:publish",
    "read_plan": "faithbench.plan:read_plan",
    "read_study": "faithbench.studies.reading:read_study",
    "render": "faithbench.tables.table:render",
    "report": "faithbench.reporting.report:report",
    "run": "faithbench.running.until:run",
    "score": "faithbench.importing.in_memory:score",
    "table": "faithbench.tables.table:table",
    "train": "faithbench.training.train:train",
    "train_surrogate": "faithbench.training.surrogate:train_surrogate",
    "usual_explainers": "faithbench.running.usual:usual_explainers",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'faithbench' has no attribute {name!r}")
    return pkgutil.resolve_name(_HOMES[name])

"""Which backbone a table or figure shows: the runs' only one, or the one that is asked for."""

from collections.abc import Sequence

from faithbench.errors import UserError, unknown
from faithbench.paper.matching import of_models, same
from faithbench.plugins import spec
from faithbench.records.results import label
from faithbench.records.seeds import without_seed

KINDS = ("conv", "bcos")  # a model of the zoo is called kind-backbone


def split(model: str) -> tuple[str, str] | None:
    """Kind and backbone of a model that is called so."""
    try:
        kind, _, backbone = spec.parse(model)[0].partition("-")
    except UserError:  # a folder or hub id
        return None
    return (kind, backbone) if kind in KINDS and backbone else None


def is_of(model: str, backbone: str) -> bool:
    """Whether a model has this backbone."""
    return (split(model) or ("", ""))[1] == backbone


def choose_backbone(models: Sequence[str], wanted: str | None, what: str) -> str:
    """The backbone that `what` shows of these models.

    Raises:
        UserError: there is none, not the one that is wanted, or several of which none is chosen.
    """
    found = sorted({each[1] for each in map(split, models) if each is not None})
    if not found:
        raise UserError(
            f"the runs hold none of {what}'s models, which are called conv-… and bcos-…; they hold {_listed(models)}."
        )
    if wanted is not None and wanted not in found:
        raise unknown("backbone of these runs", wanted, found)
    if wanted is None and len(found) > 1:
        raise UserError(
            f"the runs hold the backbones {', '.join(found)}, and {what} shows one: choose it with --backbone."
        )
    return wanted or found[0]


def check_models(models: Sequence[str], backbone: str, wanted: Sequence[str], what: str) -> None:
    """Some model of the backbone that is wanted is there.

    Raises:
        UserError: none is.
    """
    own = [model for model in models if is_of(model, backbone)]
    if not any(same("model", model, each, of_models(own)) for model in own for each in wanted):
        raise UserError(f"the runs hold none of {what}'s models ({', '.join(wanted)}); they hold {_listed(models)}.")


def _listed(models: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(label("model", without_seed(model)) for model in models))

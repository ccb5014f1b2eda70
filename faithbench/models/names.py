"""What a model's text is: a component's spec, a checkpoint folder, or a hub id. Nothing here needs torch."""

from pathlib import Path

from faithbench.models.zoo import Bcos, Conventional
from faithbench.plugins import spec


def is_named(text: str) -> bool:
    """Whether a text is a component's spec, rather than a folder or hub id."""
    return "/" not in text and not is_folder(text)


def is_folder(text: str) -> bool:
    """Whether there is such a folder."""
    try:
        return Path(text).is_dir()
    except OSError:  # a name that is too long, for instance
        return False


def written_out(text: str) -> str:
    """The text with all parameters of a named model; a folder or hub id as it is.

    Raises:
        UserError: there is no model of that name.
    """
    return spec.build("model", text).full if is_named(text) else text


def zoo_model(text: str) -> spec.Component | None:
    """The model of the zoo that a text names; None for a plugin's own, a folder or a hub id.

    Raises:
        UserError: there is no model of that name.
    """
    model = spec.build("model", text) if is_named(text) else None
    return model if model and isinstance(model.object, (Conventional, Bcos)) else None


def conventional(text: str) -> str:
    """The conventional model of the same backbone, with its usual seed; a model that is not of the zoo as it is.

    Raises:
        UserError: there is no model of that name.
    """
    model = zoo_model(text)
    return written_out(f"conv-{model.object.backbone.name}" if model else text)

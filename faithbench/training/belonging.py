"""Whether a model and a data set belong together: language models answer next-token questions, classifiers do not."""

from faithbench.errors import UserError, brief
from faithbench.models.zoo import zoo_model
from faithbench.plugins.naming import ModelRef


def is_language_model(model: ModelRef) -> bool | None:
    """Whether it is one; None where that is not known before it is loaded."""
    model = model.root
    named = zoo_model(model) or model.component
    unknown = False if zoo_model(model) else None
    return None if named is None else getattr(named.object, "next_token", unknown)


def check_kind(model: str, is_language_model: bool, dataset: str, has_questions: bool) -> None:
    """A language model for questions, a classifier for texts.

    Args:
        model: what it is called.
        is_language_model: whether it is one.
        dataset: what it is called.
        has_questions: whether its examples have continuations, good and bad.

    Raises:
        UserError: not so.
    """
    if has_questions and not is_language_model:
        raise UserError(
            f"{brief(dataset)} asks which of two words follows, which {brief(model)} cannot say; a language model can, "
            "such as lm(path), of a folder or the hub."
        )
    if is_language_model and not has_questions:
        raise UserError(
            f"{brief(model)} is a language model, and {brief(dataset)} has no questions for it: texts with two "
            "continuations, good and bad."
        )

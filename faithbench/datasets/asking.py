"""What data sets of next-token questions share that are for models trained on other texts."""

from faithbench.errors import UserError
from faithbench.plugins.naming import build_texts

CLASS_NAMES = ("good", "bad")


def texts_of(texts: str) -> str:
    """The spec of the texts that language models are trained on, with all parameters written out.

    Raises:
        ValueError: they depend on a model.
        UserError: there is no such data set.
    """
    source = build_texts(texts, "a data set of questions")
    if source.traits.for_model:
        raise ValueError(f"texts={texts!r} is not allowed; no model can be trained on it.")
    return source.identity


def check_split(name: str, split: str, texts: str) -> None:
    """There are questions alone.

    Raises:
        UserError: another split is wanted.
    """
    if split != "test":
        raise UserError(
            f"{name} has no {split} split, only questions (test): the language models that it asks are trained on "
            f"other texts, texts={texts}."
        )

"""A model that is finished, by a spec that says what its configuration leaves open."""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, ClassVar

from faithbench.errors import UserError
from faithbench.interfaces import Classifier, Dataset
from faithbench.models.heads import PROBLEMS

# they import torch, which a description need not
LOADER = "faithbench.training.loading:load_classifier"
LANGUAGE_LOADER = "faithbench.training.loading:load_language_model"


@dataclass(frozen=True)
class FinishedModel:
    """A fine-tuned classifier from a folder or the hub, where its path alone does not say enough.

    Args:
        path: folder or hub id, `owner/name` or with `@revision`.
        problem_type: transformers' word for what its head says: `single_label_classification`,
            `multi_label_classification` or `regression`; empty: as its configuration says.
        fill: what stands in the place of tokens that are taken away: `mask`, `unk`, `pad`, `eos`, `bos` or a token;
            empty: the mask token or, where there is none, the first of the others.
    """

    path: str
    problem_type: str = ""
    fill: str = ""
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.problem_type and self.problem_type not in PROBLEMS:
            raise UserError(f"problem_type={self.problem_type!r} is not allowed; use {', '.join(PROBLEMS)}.")

    def prepare(self, dataset: Dataset | None, device: str, dtype: str) -> Classifier:
        """The classifier; the data set does not matter."""
        options: dict[str, Any] = {"problem_type": self.problem_type or None, "fill": self.fill or None}
        classifier: Classifier = resolve_name(LOADER)(self.path, device, dtype, **options).classifier
        return classifier


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model from a folder or the hub, asked which of two tokens comes next.

    Args:
        path: folder or hub id, `owner/name` or with `@revision`.
        contrast: explain by how much the good token's logit exceeds the bad one's, z_t − z_f; False: explain z_t alone.
        fill: what stands in the place of tokens that are taken away: `mask`, `unk`, `pad`, `eos`, `bos` or a token;
            empty: the mask token or, where there is none, the first of the others.
    """

    path: str
    contrast: bool = True
    fill: str = ""
    on_request: ClassVar[bool] = True
    next_token: ClassVar[bool] = True

    def prepare(self, dataset: Dataset | None, device: str, dtype: str) -> Classifier:
        """The language model; the data set does not matter."""
        options: dict[str, Any] = {"contrast": self.contrast, "fill": self.fill or None}
        model: Classifier = resolve_name(LANGUAGE_LOADER)(self.path, device, dtype, **options).classifier
        return model


FINISHED = (FinishedModel, LanguageModel)

"""Attribution methods of captum (Kokhlikyan et al. 2020, arXiv 2009.07896) by the names of their classes."""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import ClassVar

from faithbench.conversations import Asking
from faithbench.parameters import check_choice, check_seed
from faithbench.plugins import spec
from faithbench.questions import Inside
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.bridges.library import attribution, check_installed, parse

CHECK = "faithbench_explainers.bridges.captum:check_method"
FUNCTION = "faithbench_explainers.bridges.captum:scores"
OVER = ("auto", "embeddings", "ids")


@dataclass(frozen=True)
class Captum:
    """A method of captum, run on the target's logit; the mask token is the baseline.

    Gradient methods run over what the embedding module gives, summed over its dimensions: special tokens get scores
    too, as in `integrated_gradients`. Perturbation methods run over token ids: content tokens are the players, special
    tokens stay and score 0. To captum a text is then a row of ones, an absent token 0, so that distances between texts,
    which its `Lime` weighs samples by, count tokens and not what numbers their ids are. Some of its methods compute in
    float32 whatever the model does. `internal_batch_size` and `perturbations_per_eval` fill batches unless given.

    Methods that captum makes from a module or a layer rather than from a function, such as `DeepLift`, cannot run.
    `KernelShap` and `Lime` need scikit-learn too; `ShapleyValues` goes through all n! orders of n tokens.

    Args:
        method: a class of `captum.attr` with parameters of its `attribute`, or plain ones of its constructor:
            `captum(IntegratedGradients(n_steps=20))`.
        over: `embeddings`, `ids`, or what suits the method (`auto`). Perturbation methods over embeddings have all
            dimensions of a token as one player.
        seed: of all random numbers, together with the text's id.
    """

    method: str
    over: str = "auto"
    seed: int = 0
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_installed("captum", "captum")
        check_seed(self.seed)
        check_choice("over", self.over, OVER)
        name, arguments = parse("method", self.method)
        resolve_name(CHECK)(name, arguments, self.over)
        object.__setattr__(self, "method", spec.write(name, arguments))

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        name, arguments = parse("method", self.method)
        asked: dict[str, object] = {"method": name, "arguments": arguments, "over": self.over}
        scores = yield Inside(text, FUNCTION, {**asked, "target": Target.of(target).output, "seed": self.seed})
        return attribution(text, target, scores, f"captum's {name}")

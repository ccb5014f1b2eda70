"""A language model's description of a neuron, and its simulation from that (Bills et al. 2023; arXiv 2410.16443)."""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from faithbench.activations import Recording, Windows
from faithbench.parameters import check_whole
from faithbench_describers.prompting import CHARACTER, explanation_prompt, one_line, shown_pieces, simulation_prompt

LOADER = "faithbench_describers.local_models:local_model"  # imports torch, which a description need not


@dataclass(frozen=True)
class Explanation:
    """What a language model says a neuron is active at.

    Args:
        text: what it says.
        bits: 8 for each of its characters.
        model: by which it simulates, as `LLM` names it.
        dtype: likewise.
    """

    text: str
    bits: float
    model: str
    dtype: str = "float32"

    def simulate(self, windows: Windows) -> Float[np.ndarray, "windows tokens"]:
        """The activation, 0 to 9, that the model expects at each token, by its chances of the ten digits.

        Raises:
            ValueError: a prompt is too long for the model, or its digits are no single tokens.
        """
        model = resolve_name(LOADER)(self.model, self.dtype)
        prompts = [simulation_prompt(self.text, pieces) for pieces in shown_pieces(windows)]
        return np.stack([model.expected_digits(prompt) for prompt in prompts])


@dataclass(frozen=True)
class LLM:
    """What a causal language model says, greedily, of the windows in which the neuron is most active, one a document.

    It is shown their tokens with the activations, scaled to 0 … 9 of the largest; it says in a line what the neuron is
    active at. It simulates all tokens of a window at once: each is followed by a placeholder, and predicted is the
    expectation of the digits 0 to 9 by the probabilities, among the ten, that the model gives them there. The prompts
    are fixed (`faithbench_describers.prompting`), and suit models that were not trained to follow instructions, too.
    Its length is 8 bits for each character of the text.

    Small models describe badly, and that is what is then measured; results of other models are not comparable with
    published ones. The model is loaded once, when it is first needed, on a GPU if there is one.

    Args:
        model: folder or hub id of a causal language model; or a named one of faithbench's, which must be trained
            already and say on what: `llm(model=conv-gpt2(data=imdb))`. A folder whose files change is not noticed.
        windows: that it is shown, at most.
        dtype: in which the model computes.
    """

    model: str
    windows: int = 5
    dtype: str = "float32"
    dear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("windows", self.windows, 1, 1000)

    def resolve(self) -> None:
        """Loads the model.

        Raises:
            UserError: there is none, or it cannot be used.
        """
        _ = self._loaded

    @property
    def _loaded(self) -> Any:
        return resolve_name(LOADER)(self.model, self.dtype)

    def __call__(self, fit: Recording, calibrate: Recording) -> Explanation:
        """The description.

        Raises:
            ValueError: the prompt is too long for the model, or it says nothing.
        """
        text = one_line(self._loaded.complete(explanation_prompt(fit, self.windows)))
        if not text:
            raise ValueError(f"{self.model} says nothing of the neuron")
        return Explanation(text, float(len(text) * CHARACTER), self.model, self.dtype)

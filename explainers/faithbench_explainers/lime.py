"""LIME (Ribeiro et al. 2016, arXiv 1602.04938), in the form for text that LIT and the `lime` package share."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from faithbench.conversations import Asking
from faithbench.draws import generator
from faithbench.parameters import check_choice, check_positive, check_seed, check_whole
from faithbench.probability import probabilities
from faithbench.questions import Logits
from faithbench.types import Attribution, Target, Text
from faithbench_explainers.baselines import check_baseline, fill_of
from faithbench_explainers.ridge import best_features, largest_weights, ridge

SELECTIONS = ("none", "auto", "forward_selection", "highest_weights")


@dataclass(frozen=True)
class LIME:
    """Coefficients of a weighted ridge regression (penalty 1, with intercept) of the target's probability.

    Its samples are the text and `n_samples` masks of it: the number of replaced content tokens is uniform on 1 … n,
    their positions are random. The weight of a mask is sqrt(exp(−d²/width²)), d being 100 × its cosine distance from
    the text. The definition is LIT's; the `lime` package's differs in the number of samples (5,000, the text
    included) and in that it selects features: `lime(n_samples=4999, feature_selection=auto)`. Scores are changes of
    probability (of the value, where the model says one), 0 for tokens that were not selected and for special tokens.

    Args:
        n_samples: masks.
        kernel_width: of the weights.
        feature_selection: `none`; `highest_weights` of a ridge regression of all (penalty 0.01);
            `forward_selection` one by one; `auto`, which is the latter up to 6 features, else the former.
        num_features: how many are selected.
        baseline: what absent tokens are replaced by, `mask` or `pad` token.
        seed: draws the masks, together with the text's id.
    """

    n_samples: int = 3000
    kernel_width: float = 25.0
    feature_selection: str = "none"
    num_features: int = 10
    baseline: str = "mask"
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("n_samples", self.n_samples, 1, 1_000_000)
        check_whole("num_features", self.num_features, 1, 100_000)
        check_baseline(self.baseline)
        check_seed(self.seed)
        check_positive("kernel_width", self.kernel_width)
        check_choice("feature_selection", self.feature_selection, SELECTIONS)

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        content = text.content
        masks = np.concatenate([np.ones((1, len(content)), dtype=bool), self.masks(text)])
        keep = np.ones((len(masks), len(text)), dtype=bool)
        keep[:, content] = masks
        logits: Float[np.ndarray, "variants classes"] = yield Logits(text, keep, fill_of(text, self.baseline))
        scores = np.zeros(len(text))
        scores[content] = self.coefficients(masks, probabilities(logits, text.link)[:, target])
        return Attribution(text.id, target, scores)

    def masks(self, text: Text) -> Bool[np.ndarray, "samples content"]:
        """The random masks; False where a token is replaced. More samples begin with those of fewer."""
        n = len(text.content)
        drawn = generator(text, seed=self.seed).random((self.n_samples, n + 1))
        places = drawn[:, :n].argsort(axis=1).argsort(axis=1)
        replaced = 1 + (drawn[:, n:] * n).astype(np.int64)
        masks: Bool[np.ndarray, "samples content"] = places >= replaced
        return masks

    def coefficients(
        self, masks: Bool[np.ndarray, "samples content"], values: Float[np.ndarray, "samples"]
    ) -> Float[np.ndarray, "content"]:
        """The regression of the values; the first mask must be the whole text."""
        inputs, weights = masks.astype(np.float64), kernel(masks, self.kernel_width)
        coefficients = np.zeros(inputs.shape[1])
        chosen = self.selected(inputs, values, weights)
        coefficients[chosen] = ridge(inputs[:, chosen], values, weights, penalty=1.0)
        return coefficients

    def selected(
        self,
        inputs: Float[np.ndarray, "samples content"],
        values: Float[np.ndarray, "samples"],
        weights: Float[np.ndarray, "samples"],
    ) -> Int[np.ndarray, "chosen"]:
        """The features that the regression is given."""
        forward = self.feature_selection == "forward_selection" or self.num_features <= 6
        if self.feature_selection == "none":
            return np.arange(inputs.shape[1])
        if self.feature_selection != "highest_weights" and forward:
            return best_features(inputs, values, weights, self.num_features)
        return largest_weights(inputs, values, weights, self.num_features)


def kernel(masks: Bool[np.ndarray, "samples content"], width: float) -> Float[np.ndarray, "samples"]:
    """sqrt(exp(−d²/width²)), d = 100 · (1 − cosine with the whole text); an empty mask is at distance 100."""
    cosine = np.sqrt(masks.mean(axis=1))
    weights: Float[np.ndarray, "samples"] = np.sqrt(np.exp(-((100 * (1 - cosine) / width) ** 2)))
    return weights

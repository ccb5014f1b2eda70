"""LIME (Ribeiro et al. 2016, arXiv 1602.04938), in the form for text that LIT and the `lime` package share."""

from dataclasses import dataclass
from typing import ClassVar

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
from faithbench_explainers.sandwich import covariance, influences
from faithbench_explainers.stopping import ADDED, FIRST, Estimate, Rule, sampled

LEAST = 32  # masks before the first look: of a text of two tokens, fewer may all be the same
SELECTIONS = ("none", "auto", "forward_selection", "highest_weights")


@dataclass(frozen=True)
class LIME:
    """Coefficients of a weighted ridge regression (penalty 1, with intercept) of the target's probability.

    Its samples are the text and `n_samples` masks of it: the number of replaced content tokens is uniform on 1 … n,
    their positions are random. The weight of a mask is sqrt(exp(−d²/width²)), d being 100 × its cosine distance from
    the text. The definition is LIT's; the `lime` package's differs in the number of samples (5,000, the text
    included) and in that it selects features: `lime(n_samples=4999, feature_selection=auto)`. Scores are changes of
    probability (of the value, where the model says one), 0 for tokens that were not selected and for special tokens.

    With a rule for stopping, `n_samples` is the most masks, penalty and weight of the text are the share of them that
    was used (so that both weigh as much as they do for all), and attributions have standard errors (of `sandwich`:
    sampling alone).

    Args:
        n_samples: masks.
        kernel_width: of the weights.
        feature_selection: `none`; `highest_weights` of a ridge regression of all (penalty 0.01);
            `forward_selection` one by one; `auto`, which is the latter up to 6 features, else the former.
        num_features: how many are selected.
        baseline: what absent tokens are replaced by, `mask` or `pad` token.
        seed: draws the masks, together with the text's id.
        tolerance: stop once the largest standard error is at most this share of the gap between the largest and the
            smallest score; 0 for never. `notes` say how many masks were used and whether it was reached.
        settled: stop once so many highest tokens are known instead, up to the tolerance; 0 for not at all.
    """

    n_samples: int = 3000
    kernel_width: float = 25.0
    feature_selection: str = "none"
    num_features: int = 10
    baseline: str = "mask"
    seed: int = 0
    tolerance: float = 0.0
    settled: int = 0
    added: ClassVar[tuple[str, ...]] = ADDED
    dear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("n_samples", self.n_samples, 1, 1_000_000)
        check_whole("num_features", self.num_features, 1, 100_000)
        check_baseline(self.baseline)
        check_seed(self.seed)
        check_positive("kernel_width", self.kernel_width)
        check_choice("feature_selection", self.feature_selection, SELECTIONS)
        if Rule(self.tolerance, self.settled).stops and self.feature_selection != "none":
            raise ValueError(
                f"feature_selection={self.feature_selection!r} is not allowed with a tolerance or settled, whose "
                "standard errors say nothing of what was selected; it must be none."
            )

    def __call__(self, text: Text, target: Target) -> Asking[Attribution]:
        rule = Rule(self.tolerance, self.settled)
        if rule.stops:
            return (yield from self._until(rule, text, target))
        masks = np.concatenate([np.ones((1, len(text.content)), dtype=bool), self.masks(text)])
        scores = np.zeros(len(text))
        scores[text.content] = self.coefficients(masks, (yield from self._answers(text, masks))[:, target])
        return Attribution(text.id, target, scores)

    def _answers(
        self, text: Text, masks: Bool[np.ndarray, "samples content"]
    ) -> Asking[Float[np.ndarray, "samples classes"]]:
        """The probabilities under masks of the content."""
        keep = np.ones((len(masks), len(text)), dtype=bool)
        keep[:, text.content] = masks
        logits: Float[np.ndarray, "variants classes"] = yield Logits(text, keep, fill_of(text, self.baseline))
        return probabilities(logits, text.link)

    def _until(self, rule: Rule, text: Text, target: Target) -> Asking[Attribution]:
        """With as many masks as the rule wants."""
        draws, n = generator(text, seed=self.seed), len(text.content)
        masks = [np.ones((1, n), dtype=bool)]
        answered: list[Float[np.ndarray, "samples classes"]] = []

        def estimate(count: int) -> Asking[Estimate]:
            new = _masks(draws, n, count + 1 - sum(map(len, masks)))
            asked = new if answered else np.concatenate([*masks, new])
            masks.append(new)
            answered.append((yield from self._answers(text, asked)))
            return self.estimate(np.concatenate(masks), np.concatenate(answered)[:, target])

        found, count, met = yield from sampled(rule, rule.looks(max(FIRST * n, LEAST), self.n_samples), estimate)
        scores, errors = np.zeros(len(text)), np.zeros(len(text))
        scores[text.content], errors[text.content] = found.scores, found.errors
        known, notes = found.freedom >= 1, rule.notes("n_samples", count, met)
        return Attribution(text.id, target, scores, notes, standard_errors=errors if known else None)

    def masks(self, text: Text) -> Bool[np.ndarray, "samples content"]:
        """The random masks; False where a token is replaced. More samples begin with those of fewer."""
        return _masks(generator(text, seed=self.seed), len(text.content), self.n_samples)

    def estimate(self, masks: Bool[np.ndarray, "samples content"], values: Float[np.ndarray, "samples"]) -> Estimate:
        """The regression of a part of the values; the first mask must be the whole text, which is no sample.

        Only what was sampled is fewer: penalty and text weigh as much as they do for all samples.
        """
        part, n = (len(masks) - 1) / self.n_samples, masks.shape[1]
        inputs, weights = masks.astype(np.float64), self.weights(masks, part)
        scores = self.coefficients(masks, values, part)
        share = weights / weights.sum()
        x, y = inputs - share @ inputs, values - share @ values
        inverse = np.linalg.inv((x * weights[:, None]).T @ x + part * np.eye(n))
        spread = covariance(influences(x, y - x @ scores, weights, inverse, ends=share)[1:])
        largest = float(np.abs(values).max())
        return Estimate(scores, np.sqrt(spread.diagonal()), spread, len(masks) - 2 - n, largest)

    def coefficients(
        self, masks: Bool[np.ndarray, "samples content"], values: Float[np.ndarray, "samples"], part: float = 1.0
    ) -> Float[np.ndarray, "content"]:
        """The regression of the values, of a part of all; the first mask must be the whole text."""
        inputs, weights = masks.astype(np.float64), self.weights(masks, part)
        coefficients = np.zeros(inputs.shape[1])
        chosen = self.selected(inputs, values, weights)
        coefficients[chosen] = ridge(inputs[:, chosen], values, weights, penalty=part)
        return coefficients

    def weights(self, masks: Bool[np.ndarray, "samples content"], part: float) -> Float[np.ndarray, "samples"]:
        """Of the samples, which are a part of all; the first, the whole text, is there once however many there are."""
        weights = kernel(masks, self.kernel_width)
        weights[0] *= part
        return weights

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


def _masks(draws: np.random.Generator, n: int, count: int) -> Bool[np.ndarray, "samples content"]:
    """The next so many masks."""
    drawn = draws.random((count, n + 1))
    places = drawn[:, :n].argsort(axis=1).argsort(axis=1)
    replaced = 1 + (drawn[:, n:] * n).astype(np.int64)
    masks: Bool[np.ndarray, "samples content"] = places >= replaced
    return masks


def kernel(masks: Bool[np.ndarray, "samples content"], width: float) -> Float[np.ndarray, "samples"]:
    """sqrt(exp(−d²/width²)), d = 100 · (1 − cosine with the whole text); an empty mask is at distance 100."""
    cosine = np.sqrt(masks.mean(axis=1))
    weights: Float[np.ndarray, "samples"] = np.sqrt(np.exp(-((100 * (1 - cosine) / width) ** 2)))
    return weights

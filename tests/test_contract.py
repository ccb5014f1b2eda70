"""The contract that every installed explainer and metric keeps, and for each clause a fault that breaks it."""

import itertools
import re
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import ClassVar

import numpy as np
import pytest
import torch
from builders import LinearModel, answers, random_texts, text, tiny_classifier

from faithbench.answering import queue
from faithbench.answering.engine import Engine
from faithbench.conformance import check_explainer, check_metric
from faithbench.conformance.explainers import (
    ExplainerTrial,
    dimensions_come_to_scores,
    explains_alike_again,
    explains_alike_in_any_batch,
    gives_finite_scores,
    leaves_all_as_found_explaining,
    trait_class_sensitive_holds,
    trait_repeats_holds,
    trait_sums_to_holds,
)
from faithbench.conformance.metrics import (
    MetricTrial,
    gives_a_measurement,
    leaves_all_as_found_measuring,
    measures_alike_again,
    measures_alike_in_any_batch,
    trait_by_order_holds,
    trait_direction_holds,
    trait_needs_holds,
    trait_range_holds,
)
from faithbench.conversations import ask, together
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import finding, spec
from faithbench.plugins.traits import read_trait
from faithbench.questions import Attentions, Gradients, Inside, Logits
from faithbench.types import Attribution, Measurement


def walked(kind, unnamed):
    """Components that need not be told anything, perhaps only those that run unnamed: others have their own tests."""
    loaded = {name: plugin.load() for name, plugin in finding.find(kind).items()}
    told = {n for n, f in loaded.items() if any(p.default is p.empty for p in signature(f).parameters.values())}
    return {n: f for n, f in loaded.items() if n not in told and not (unnamed and read_trait(f, "on_request", n))}


EXPLAINERS, METRICS = walked("explainer", unnamed=True), walked("metric", unnamed=False)
CHEAPER = {
    "integrated_gradients": "n_steps=3",
    "kernel_shap": "n_samples=20",
    "lime": "n_samples=50",
    "shap_sampl": "n_permutations=4",
}
VARIANTS = """attention(rollout); attention(flow); attention(max_path); attn_lrp(contrastive=True);
    bcos(contrastive=True);
    bcos(aggregation=l2); integrated_gradients(n_steps=3, aggregation=l2); saliency(aggregation=l2);
    decompx(bias_split=dimension, value_bias=shared); input_x_gradient(contrastive=True);
    integrated_gradients(n_steps=3, baseline=pad, contrastive=True); kernel_shap(n_samples=20, paired=False);
    lime(n_samples=50, feature_selection=auto, num_features=3); occlusion(window=2, baseline=pad);
    saliency(contrastive=True); shap_sampl(n_permutations=4, antithetic=True, protocol=paper);
    sig(n_steps=2, baseline=pad, aggregation=l2, contrastive=True); words(lime(n_samples=50)); permuted(occlusion);
    degraded(occlusion, share=0.5); shap_sampl(n_permutations=40, tolerance=0.2);
    lime(n_samples=300, tolerance=0.2); kernel_shap(n_samples=100, settled=2, tolerance=0.1)"""
METRIC_VARIANTS = """comprehensiveness(paper); sufficiency(paper); entropy(positive, normalised=True);
    comprehensiveness(operator=attention); sufficiency(operator=delete); deletion(operator=sample);
    infidelity(scaled=False, operator=pad); monotonicity(steps); positive_rate(0, word=tale);
    rationale_auprc(majority); seqpg(paper); srg(operator=delete); racu(randoms=3); f_fidelity(form=minus, draws=3);
    normalised(comprehensiveness(operator=delete), randoms=4); normalised(srg, randoms=4, lower=worst);
    randomisation(cascade=False, absolute=True); truth_ap(least=1.0)"""
EXPLAINER_NAMES = [f"{name}({CHEAPER.get(name, '')})" for name in EXPLAINERS]
EXPLAINER_VARIANTS = [*EXPLAINER_NAMES, *re.split(r";\s+", VARIANTS)]
METRIC_NAMES = [*METRICS, *re.split(r";\s+", METRIC_VARIANTS)]
LOOKING = ("alignment", "randomisation", "sensitivity")  # look at the parts of a model, or change them
NOT_LINEAR = ("decompx", "kernel_shap", "shap_sampl")  # needs layers; exact for sums whatever the seed
MODELS = pytest.mark.parametrize("b", [None, 1.5], ids=["conventional", "bcos"])
explainer, metric = (lambda text, kind=kind: spec.build(kind, text).object for kind in ("explainer", "metric"))


@pytest.mark.slow
@MODELS
@pytest.mark.parametrize("name", EXPLAINER_NAMES)
def test_explainer_keeps_everything(name, b):
    classifier = tiny_classifier("bert", b, classes=3, dtype=torch.float64)
    assert check_explainer(explainer(name), classifier, random_texts(classifier, (6, 1, 3))) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", METRIC_NAMES)
def test_metric_keeps_everything(name):
    classifier = tiny_classifier("bert", classes=3, dtype=torch.float64)
    assert check_metric(metric(name), classifier, random_texts(classifier, (5, 1, 9))) is None


def setting_of(kind):
    texts = [text([1, *range(2, n + 2), 1], evidence=[1], name=f"text {n} {i}") for i, n in enumerate((6, 1, 3))]
    texts = [replace(one, label=1) for one in texts]
    if kind == "linear":
        return LinearModel.random(), texts
    return tiny_classifier(kind, 1.5, classes=3, dtype=torch.float64), texts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("roberta", name) for name in EXPLAINER_VARIANTS),
        *(("distilbert", name) for name in EXPLAINER_NAMES),
        *(("linear", name) for name in EXPLAINER_VARIANTS if not name.startswith(NOT_LINEAR)),
    ],
)
def test_explainer_keeps_everything_on_other_models(kind, name):
    assert check_explainer(explainer(name), *setting_of(kind)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *itertools.product(("bert", "roberta", "distilbert"), (n for n in METRIC_NAMES if n.startswith(LOOKING))),
        *(("linear", name) for name in METRIC_NAMES if not name.startswith(LOOKING)),
    ],
)
def test_metric_keeps_everything_on_other_models(kind, name):
    """Those that look into a model on every architecture; the others, which see only answers, on a linear one."""
    assert check_metric(metric(name), *setting_of(kind)) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPLAINER_VARIANTS)
def test_scores_do_not_depend_on_how_the_engine_packs(name, monkeypatch):
    classifier, component = tiny_classifier("bert", 1.5, dtype=torch.float64), explainer(name)
    texts = random_texts(classifier, (7, 1, 4, 2))
    tight = {one.id: answers(classifier, ask(component, one, 1), batch_tokens=1).scores for one in texts}
    monkeypatch.setattr(queue, "MAX_PADDING", 1.0)
    roomy = Engine(classifier, batch_tokens=4096)
    for (outcome,) in (found.values() for found in roomy.run(together({0: ask(component, t, 1)}) for t in texts)):
        scores = tight[outcome.value.text_id]
        assert np.abs(outcome.value.scores - scores).max() <= 1e-5 * np.abs(scores).max()


# Faults. Each breaks one clause; the test sees that clause fail, and fail for that reason.


@dataclass(frozen=True)
class Sound:
    """An explainer in order, for faults to start from: two questions, both gradients and masked texts."""

    def __call__(self, text, target):
        keep = np.eye(len(text), dtype=bool)
        logits, gradient = yield Logits(text, keep), Gradients(text, target)
        return Attribution(text.id, target, logits[:, target] + gradient.gradient.sum(-1))


class ContentOnly(Sound):
    def __call__(self, text, target):
        found = yield from super().__call__(text, target)
        return replace(found, scores=found.scores[~text.special])


class NotANumber(Sound):
    def __call__(self, text, target):
        found = yield from super().__call__(text, target)
        return replace(found, scores=np.where(text.special, np.nan, found.scores))


class BareScores(Sound):
    def __call__(self, text, target):
        found = yield from super().__call__(text, target)
        return found.scores


class OtherClass(Sound):
    def __call__(self, text, target):
        return super().__call__(text, 0)


class OtherText(Sound):
    def __call__(self, text, target):
        found = yield from super().__call__(text, target)
        return replace(found, text_id="")


class Raising(Sound):
    def __call__(self, text, target):
        raise KeyError("no such word")


@dataclass(frozen=True)
class Leaking(Sound):
    """Scores relative to the largest that it has seen so far in any text."""

    seen: list = field(default_factory=list)

    def __call__(self, text, target):
        found = yield from super().__call__(text, target)
        self.seen.append(np.abs(found.scores).max())
        return replace(found, scores=found.scores / max(self.seen))


class GlobalNoise(Sound):
    def __call__(self, text, target):
        return Attribution(text.id, target, np.random.normal(size=len(text)))


@dataclass(frozen=True)
class SeedWithoutEffect(Sound):
    seed: int = 0


@dataclass(frozen=True)
class Meddling(Sound):
    """Does something to the model, and does not undo it."""

    model: torch.nn.Module
    deed: str

    def __call__(self, text, target):
        found = yield from super().__call__(text, target)
        meddle(self.model, self.deed)
        return found


def meddle(model, deed):
    weight = model.classifier.weight
    if deed == "weight":
        with torch.no_grad():
            weight[0, 0] += 1
    elif deed == "training":
        model.bert.encoder.train()
    elif deed == "requires_grad":
        weight.requires_grad_()
    elif deed == "gradient":
        weight.grad = torch.zeros_like(weight)
    elif deed == "hook":
        model.bert.register_forward_hook(lambda *_: None)
    elif deed == "attention":
        model.config._attn_implementation = "eager"
    elif deed == "buffer":
        model.bert.embeddings.token_type_ids[0, -1] = 1


DEEDS = {
    "weight": "the numbers in classifier.weight",
    "training": r"the mode of module 'bert.encoder",
    "requires_grad": "requires_grad of classifier.weight",
    "gradient": "the gradient of classifier.weight",
    "hook": "the hooks of module 'bert'",
    "attention": "the model's attention implementation",
    "buffer": "the numbers in bert.embeddings.token_type_ids",
}


class MaskingInPlace(Sound):
    def __call__(self, text, target):
        found = yield from super().__call__(text, target)
        text.ids[text.content[0]] = text.mask_id
        return found


class AttentionUnannounced(Sound):
    def __call__(self, text, target):
        layers = yield Attentions(text)
        return Attribution(text.id, target, layers.mean((0, 1))[0])


class SensitiveUnannounced(Sound):
    class_sensitive: ClassVar[bool] = False


class LogitUnsummed(Sound):
    sums_to: ClassVar[str] = "logit"


@dataclass(frozen=True)
class Falling(Sound):
    """What masking all content takes from the logit, in equal shares; perhaps of another class, or with a wrong gap."""

    sums_to: ClassVar[str] = "content"
    off: int = 0
    gap: float = 0.0

    def __call__(self, text, target):
        logits = yield Logits(text, np.stack([np.ones(len(text), dtype=bool), text.special]))
        fall = (logits[0] - logits[1]).astype(np.float64)[(target.output + self.off) % 3]
        return Attribution(text.id, target, ~text.special * fall / len(text.content), {"completeness_gap": self.gap})


class FallingFromLess(Falling):
    sums_to: ClassVar[str] = "tokens"


@dataclass(frozen=True)
class Repeating(Sound):
    """With others beside it that are given."""

    others: tuple = ()

    def repeats(self):
        return self.others


class OtherDimensions(Sound):
    def per_dimension(self, text, target):
        return np.ones((len(text), 16))


class Untold(Sound):
    class_sensitive: ClassVar[str] = "no"


class PaddingAttended(HuggingFaceClassifier):
    """A classifier that forgets the attention mask: padding is read like words."""

    def __init__(self, sound):
        super().__init__(sound.model, sound.tokenizer)
        forward = self.model.forward
        self.model.forward = lambda input_ids, attention_mask: forward(input_ids=input_ids)


def setting():
    classifier = tiny_classifier("bert", classes=3)
    return classifier, random_texts(classifier)


@pytest.mark.parametrize("explainer", [Sound(), Falling()], ids=repr)
def test_sound_explainer_passes(explainer):
    classifier = tiny_classifier("bert", classes=3, dtype=torch.float64)
    assert check_explainer(explainer, classifier, random_texts(classifier)) is None


@pytest.mark.parametrize(
    ("explainer", "clause", "complaint"),
    [
        (ContentOnly(), gives_finite_scores, r"gives 7 tokens scores of shape \(5,\)"),
        (NotANumber(), gives_finite_scores, "scores that are not finite"),
        (BareScores(), gives_finite_scores, "gives a ndarray, not an Attribution"),
        (OtherClass(), gives_finite_scores, "about text '0-0' and class 1, .* of text '0-0' and class 0"),
        (OtherText(), gives_finite_scores, "about text '0-0' and class 0, .* of text ''"),
        (Raising(), gives_finite_scores, r"failed on .'0-0', Target.*: KeyError: 'no such word'"),
        (Leaking(), explains_alike_in_any_batch, "when other texts share its batch"),
        (GlobalNoise(), explains_alike_again, "other scores when it is asked again"),
        (SeedWithoutEffect(), explains_alike_again, r"has a seed, but SeedWithoutEffect\(seed=1\) gives the same"),
        (MaskingInPlace(), leaves_all_as_found_explaining, "assignment destination is read-only"),
        (AttentionUnannounced(), trait_class_sensitive_holds, "should say `class_sensitive: ClassVar"),
        (SensitiveUnannounced(), trait_class_sensitive_holds, "but its scores depend on the class"),
        (Untold(), trait_class_sensitive_holds, "says class_sensitive='no', which is not allowed"),
        (LogitUnsummed(), trait_sums_to_holds, "says sums_to = 'logit', but for class 0 of text '0-0' its scores"),
        (Falling(off=1), trait_sums_to_holds, "says sums_to = 'content', but"),
        (Falling(gap=0.1), trait_sums_to_holds, "short by 0.1 as it says itself"),
        (FallingFromLess(), trait_sums_to_holds, "says sums_to = 'tokens', but"),
        (Repeating((Sound(),)), trait_repeats_holds, r"has repeats, but Sound\(\) among them gives the same scores"),
        (Repeating((NotANumber(),)), trait_repeats_holds, "scores that are not finite"),
        (Repeating((GlobalNoise(),)), trait_repeats_holds, "other scores when it is asked again"),
        (OtherDimensions(), dimensions_come_to_scores, r"per_dimension of shape \(7, 16\) that come to other scores"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_faulty_explainer_breaks_its_clause(explainer, clause, complaint):
    with pytest.raises(AssertionError, match=complaint):
        clause(ExplainerTrial(explainer, *setting()))


@pytest.mark.parametrize("deed", DEEDS)
def test_meddling_explainer_breaks_its_clause(deed):
    classifier, texts = setting()
    with pytest.raises(AssertionError, match=DEEDS[deed]):
        leaves_all_as_found_explaining(ExplainerTrial(Meddling(classifier.model, deed), classifier, texts))


@pytest.mark.parametrize("name", ["attention", "attn_lrp", "bcos", "input_x_gradient", "occlusion", "saliency", "sig"])
def test_classifier_that_reads_padding_breaks_the_batch_clause(name):
    classifier, texts = setting()
    with pytest.raises(AssertionError, match="when other texts share its batch"):
        explains_alike_in_any_batch(ExplainerTrial(EXPLAINERS[name](), PaddingAttended(classifier), texts))


@dataclass(frozen=True)
class SoundMetric:
    """A metric in order, for faults to start from."""

    def __call__(self, text, attribution):
        logits = yield Logits(text, (attribution.scores > 0)[None])
        return Measurement(float(logits[0, attribution.target]), tuple(map(float, logits[0])))


class BareFloat(SoundMetric):
    def __call__(self, text, attribution):
        found = yield from super().__call__(text, attribution)
        return found.value


class Infinite(SoundMetric):
    def __call__(self, text, attribution):
        return Measurement(np.inf)


class Whole(SoundMetric):
    def __call__(self, text, attribution):
        found = Measurement(0.0)
        object.__setattr__(found, "value", len(text))  # past the type checks that tests run with
        return found


class RaisingMetric(SoundMetric):
    def __call__(self, text, attribution):
        raise KeyError("no such word")


@dataclass(frozen=True)
class RunningMean(SoundMetric):
    seen: list = field(default_factory=list)

    def __call__(self, text, attribution):
        found = yield from super().__call__(text, attribution)
        self.seen.append(found.value)
        return replace(found, value=float(np.mean(self.seen)))


@dataclass(frozen=True)
class Counting(SoundMetric):
    counter: itertools.count = field(default_factory=itertools.count)

    def __call__(self, text, attribution):
        return Measurement(float(next(self.counter)))


@dataclass(frozen=True)
class MeddlingMetric(SoundMetric):
    model: torch.nn.Module
    deed: str

    def __call__(self, text, attribution):
        found = yield from super().__call__(text, attribution)
        meddle(self.model, self.deed)
        return found


class SortingInPlace(SoundMetric):
    def __call__(self, text, attribution):
        found = yield from super().__call__(text, attribution)
        attribution.scores.sort()
        return found


class MaskingMetric(SoundMetric):
    def __call__(self, text, attribution):
        found = yield from super().__call__(text, attribution)
        text.ids[:] = text.mask_id
        return found


@dataclass(frozen=True)
class TopLogit(SoundMetric):
    """The logit of the target without the token that scores highest: by the order of scores alone, lower is better."""

    by_order: ClassVar[bool] = True
    higher_is_better: ClassVar[bool] = False

    def score(self, text, scores):
        return scores

    def __call__(self, text, attribution):
        keep = np.ones((1, len(text)), dtype=bool)
        keep[0, text.content[np.argmax(self.score(text, attribution.scores)[text.content])]] = False
        logits = yield Logits(text, keep)
        return Measurement(float(logits[0, attribution.target]))


class BySize(TopLogit):
    def score(self, text, scores):
        return np.abs(scores)


class BySum(TopLogit):
    """Order alone where scores are positive; what is right for all but one of the ways to keep an order."""

    def score(self, text, scores):
        return scores if scores.min() > 0 else np.abs(scores - scores.mean())


class UpsideDown(TopLogit):
    higher_is_better: ClassVar[bool] = True


class UpsideDownTruth(UpsideDown):
    kind: ClassVar[str] = "ground truth"


class Excused(UpsideDown):
    unproven: ClassVar[str] = "a test says so"


class Plausible(UpsideDown):
    kind: ClassVar[str] = "plausibility"


class NowhereDefined(UpsideDown):
    def __call__(self, text, attribution):
        return Measurement(np.nan)


class LookingInside(UpsideDown):
    def __call__(self, text, attribution):
        depth = yield Inside(text, "faithbench.models.variants:count_parts")
        return Measurement(float(depth))


class Negative(SoundMetric):
    range: ClassVar[tuple[float, float]] = (-np.inf, 0)

    def __call__(self, text, attribution):
        return Measurement(-float(np.abs(attribution.scores).sum()))


class Positive(Negative):
    range: ClassVar[tuple[float, float]] = (0, np.inf)


class WithinRandom(Negative):
    """In range for random scores, but not where all are positive."""

    range: ClassVar[tuple[float, float]] = (-60, 60)

    def __call__(self, text, attribution):
        return Measurement(float(np.exp(attribution.scores.mean()) * 20))


class Backwards(Negative):
    range: ClassVar[tuple[float, float]] = (1, 0)


class Marked(SoundMetric):
    needs: ClassVar[tuple[str, ...]] = ("evidence",)

    def __call__(self, text, attribution):
        return Measurement(np.nan if text.evidence is None else float(attribution.scores[text.evidence].sum()))


class MarkedUnannounced(Marked):
    needs: ClassVar[tuple[str, ...]] = ()


class Insisting(Marked):
    needs: ClassVar[tuple[str, ...]] = ("rationale",)

    def __call__(self, text, attribution):
        return Measurement(float(attribution.scores[text.rationale & (text.segments[0] < 0)].sum()))


class NeedsNothing(SoundMetric):
    needs: ClassVar[tuple[str, ...]] = ("segments",)


class NeedsText(SoundMetric):
    needs: ClassVar[str] = "evidence"


class MonotonicityByOrder(METRICS["monotonicity"]):
    """What `monotonicity` once said of itself: its correlation is of absolute scores."""

    by_order: ClassVar[bool] = True


SOUND_METRICS = [SoundMetric(), TopLogit(), Excused(), Plausible(), Negative(), Marked()]


@pytest.mark.parametrize("metric", SOUND_METRICS, ids=repr)
def test_sound_metric_passes(metric):
    assert check_metric(metric, *setting()) is None


@pytest.mark.parametrize(
    ("metric", "clause", "complaint"),
    [
        (BareFloat(), gives_a_measurement, "gives a float, not a Measurement"),
        (Infinite(), gives_a_measurement, "gives text '0-0' an infinite value"),
        (Whole(), gives_a_measurement, "measures text '0-0' by a int, not a float"),
        (RaisingMetric(), gives_a_measurement, "failed on '0-0': KeyError: 'no such word'"),
        (RunningMean(), measures_alike_in_any_batch, "when other texts share its batch"),
        (Counting(), measures_alike_again, "gives text '0-0' first 0.0, then 9.0"),
        (SortingInPlace(), leaves_all_as_found_measuring, "sort array is read-only"),
        (MaskingMetric(), leaves_all_as_found_measuring, "assignment destination is read-only"),
        (BySize(), trait_by_order_holds, "says by_order = True, but gives text '0-2' .* made positive in the same"),
        (BySum(), trait_by_order_holds, "says by_order = True, but gives text .* in the same order"),
        (MonotonicityByOrder(), trait_by_order_holds, "says by_order = True, but gives text"),
        (Positive(), trait_range_holds, r"says range = \(0, inf\), but gives text '0-\d' -"),
        (WithinRandom(), trait_range_holds, r"says range = \(-60, 60\), but gives text '0-\d' \d"),
        (
            Backwards(),
            trait_range_holds,
            r"says range=\(1, 0\), which is not allowed; it must be None or",
        ),
        (
            MarkedUnannounced(),
            trait_needs_holds,
            r"says needs = \(\), but gives text '0-0' another value",
        ),
        (
            Insisting(),
            trait_needs_holds,
            r"says needs = \('rationale',\), but fails on text '0-0' without ",
        ),
        (NeedsNothing(), trait_needs_holds, "says that it needs segments, but measures text '0-0' without it"),
        (NeedsText(), trait_needs_holds, "says needs='evidence', which is not allowed; it must be a tuple of"),
        (UpsideDown(), trait_direction_holds, "says higher_is_better = True, but on a linear model a perfect"),
        (
            UpsideDownTruth(),
            trait_direction_holds,
            "says higher_is_better = True, but on a linear model a perfect",
        ),
        (NowhereDefined(), trait_direction_holds, "on which it is not defined; .* should say why: `unproven"),
        (
            LookingInside(),
            trait_direction_holds,
            r"cannot be seen on a linear model \(.*\); .* should say why",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_faulty_metric_breaks_its_clause(metric, clause, complaint):
    with pytest.raises(AssertionError, match=complaint):
        clause(MetricTrial(metric, *setting()))


@pytest.mark.parametrize("deed", DEEDS)
def test_meddling_metric_breaks_its_clause(deed):
    classifier, texts = setting()
    with pytest.raises(AssertionError, match=DEEDS[deed]):
        leaves_all_as_found_measuring(MetricTrial(MeddlingMetric(classifier.model, deed), classifier, texts))


@pytest.mark.parametrize("name", ["comprehensiveness", "sufficiency"])
def test_classifier_that_reads_padding_breaks_the_metrics_batch_clause(name):
    classifier, texts = setting()
    with pytest.raises(AssertionError, match="when other texts share its batch"):
        measures_alike_in_any_batch(MetricTrial(METRICS[name](), PaddingAttended(classifier), texts))


def test_checks_ask_for_texts_that_can_show_a_fault():
    classifier = tiny_classifier("bert")
    texts = random_texts(classifier, (4, 4))
    with pytest.raises(AssertionError, match="must have different lengths"):
        check_explainer(Sound(), classifier, texts)
    with pytest.raises(AssertionError, match="must have different ids"):
        check_explainer(Sound(), classifier, texts[:1] * 2)
    with pytest.raises(AssertionError, match="needs evidence: check it with texts that have it"):
        check_metric(METRICS["evidence"](), classifier, [replace(one, evidence=None) for one in texts])

"""Windows, baselines, the contrastive objective, words, functions, parameters, and the check of every explanation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, random_texts, shared_classifier, text
from captum import attr
from faithbench_explainers.callable import Callable
from faithbench_explainers.kernel_shap import KernelShap
from faithbench_explainers.lime import LIME
from faithbench_explainers.occlusion import Occlusion
from faithbench_explainers.saliency import Saliency
from faithbench_explainers.shap_sampl import ShapSampl
from faithbench_explainers.words import Words
from torch import Tensor

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain
from faithbench.conversations import ask, together
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.questions import Logits, Row
from faithbench.types import Attribution, Example, Target, Text

MODELS = pytest.mark.parametrize(("kind", "b"), [(kind, b) for kind in KINDS for b in (None, 1.5)])
OF_LOGITS = [Occlusion(window=2), ShapSampl(n_permutations=6), KernelShap(n_samples=40)]
NAMES = [type(explainer).__name__ for explainer in OF_LOGITS]


def slow_logit(classifier: HuggingFaceClassifier, ids: np.ndarray, target: int) -> float:
    """The torch model on one row, each token at its place: RoBERTa counts places from the padding index + 1."""
    first = 1 if classifier.model.config.model_type == "roberta" else 0
    places = {} if first == 0 else {"position_ids": torch.arange(first, first + len(ids))[None]}
    with torch.no_grad():
        return float(classifier.model(input_ids=torch.from_numpy(ids)[None], **places).logits[0, target])


def pieces(classifier: HuggingFaceClassifier) -> Text:
    """A text with words of one, two and seven pieces."""
    one = classifier.encode(Example("pieces", "an old tales boats lost toilsnlost", label=0))
    assert sorted(np.bincount(one.words[one.content]))[-3:] == [2, 2, 7]
    return one


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["mask", "pad"])
@MODELS
def test_windows_are_replaced_one_at_a_time_and_tokens_get_the_mean_of_theirs(kind, b, baseline):
    classifier = shared_classifier(kind, b, classes=3, dtype=torch.float64)
    fill = classifier.tokenizer.mask_token_id if baseline == "mask" else classifier.tokenizer.pad_token_id
    for window in (1, 3):
        for target, one in enumerate(random_texts(classifier, (7, 3, 2))):
            full, falls = slow_logit(classifier, one.ids, target), {place: [] for place in one.content}
            for start in range(1, max(1, len(one.content) - window + 1) + 1):
                covered, ids = range(start, min(start + window, len(one) - 1)), one.ids.copy()
                ids[list(covered)] = fill
                for place in covered:
                    falls[place].append(full - slow_logit(classifier, ids, target))
            found = answers(classifier, Occlusion(window, baseline)(one, target)).scores
            np.testing.assert_allclose(found[1:-1], [np.mean(fall) for fall in falls.values()], rtol=0, atol=1e-10)
            assert found[0] == found[-1] == 0


def test_padding_inside_a_roberta_text_would_shift_positions_if_it_were_left_to_transformers():
    classifier = shared_classifier("roberta", dtype=torch.float64)
    (one,) = random_texts(classifier, (6,))
    ids = one.ids.copy()
    ids[2] = classifier.tokenizer.pad_token_id
    with torch.no_grad():
        left = float(classifier.model(input_ids=torch.from_numpy(ids)[None]).logits[0, 1])
    assert abs(slow_logit(classifier, ids, 1) - left) > 1e-3  # so the test above can see it
    assert classifier.logits([Row(ids)])[0, 1] == pytest.approx(slow_logit(classifier, ids, 1), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("window", [1, 2, 3, 8])
@MODELS
def test_captum_slides_the_same_windows(kind, b, window):
    classifier = shared_classifier(kind, b, dtype=torch.float64)
    for one in random_texts(classifier, (8, 9)):

        def forward(content: Tensor, one: Text = one) -> Tensor:
            ids = torch.from_numpy(one.ids).repeat(len(content), 1)
            ids[:, one.content] = content
            return classifier.model(input_ids=ids).logits

        content = torch.from_numpy(one.ids[one.content])[None]
        expected = attr.Occlusion(forward).attribute(content, (window,), baselines=one.mask_id, target=1)[0]
        scores = answers(classifier, Occlusion(window)(one, 1)).scores[one.content]
        np.testing.assert_allclose(scores, expected.numpy(), rtol=0, atol=1e-6 * np.abs(scores).max())  # captum's sum


def test_a_window_larger_than_the_text_takes_all_of_it_at_once():
    classifier = shared_classifier("bert", dtype=torch.float64)
    for one in random_texts(classifier, (1, 4)):
        keep = next(Occlusion(window=9)(one, 1)).keep
        assert keep.sum(axis=1).tolist() == [len(one), 2]
        empty = np.where(one.special, one.ids, one.mask_id)
        fall = slow_logit(classifier, one.ids, 1) - slow_logit(classifier, empty, 1)
        scores = answers(classifier, Occlusion(window=9)(one, 1)).scores
        np.testing.assert_allclose(scores, np.where(one.special, 0, fall), atol=1e-12)


@pytest.mark.parametrize("baseline", ["mask", "pad"])
@pytest.mark.parametrize("explainer", [*OF_LOGITS, LIME(n_samples=9)], ids=[*NAMES, "LIME"])
def test_what_is_left_out_is_replaced_by_the_baseline(explainer, baseline):
    model, one = LinearModel.random(), replace(text([1, 5, 6, 7, 4, 1]), pad_id=3)
    fill = {"mask": 0, "pad": 3}[baseline]
    chosen = replace(explainer, baseline=baseline)
    assert next(chosen(one, 0)).fill == fill
    if not isinstance(explainer, LIME):
        share = model.table @ model.weights[:, 2]
        expected = np.where(one.special, 0, share[one.ids] - share[fill])
        if isinstance(explainer, Occlusion):  # windows of two
            sums = expected[1:-2] + expected[2:-1]
            expected[1:-1] = [sums[0], *(sums[:-1] + sums[1:]) / 2, sums[-1]]
        np.testing.assert_allclose(answers(model, chosen(one, 2)).scores, expected, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("explainer", OF_LOGITS, ids=NAMES)
@MODELS
def test_contrastive_is_the_difference_from_the_runner_up(kind, b, explainer):
    classifier = shared_classifier(kind, b, classes=4, dtype=torch.float64)
    for one in random_texts(classifier, (8, 1, 5)):
        single = [answers(classifier, explainer(one, target)).scores for target in range(4)]
        order = np.argsort(classifier.logits([Row(one.ids)])[0])[::-1]
        for target in range(4):
            rival = order[0] if target != order[0] else order[1]
            found = answers(classifier, replace(explainer, contrastive=True)(one, target))
            assert found.target == target
            np.testing.assert_allclose(found.scores, single[target] - single[rival], rtol=0, atol=1e-11)


@pytest.mark.parametrize("explainer", OF_LOGITS, ids=NAMES)
def test_contrastive_runs_no_more_rows(explainer):
    counts = []
    for contrastive in (False, True):
        engine = Engine(LinearModel.random())
        asking = ask(replace(explainer, contrastive=contrastive), text([1, 5, 6, 7, 1]), 0)
        list(engine.run([together({0: asking})]))
        counts.append(engine.counts)
    assert counts[1].asked == counts[0].asked + 1
    assert counts[1].run == counts[0].run


@pytest.mark.parametrize("inner", ["occlusion", "saliency", "bcos", "shap_sampl(n_permutations=4)"])
def test_a_words_score_is_the_sum_over_its_pieces(inner):
    classifier = shared_classifier("bert", 1.5, dtype=torch.float64)
    one = pieces(classifier)
    of_pieces = answers(classifier, spec.build("explainer", inner).object(one, 1))
    of_words = answers(classifier, Words(inner)(one, 1))
    for place, word in enumerate(one.words):
        together_with = [i for i in range(len(one)) if i == place or (word >= 0 and one.words[i] == word)]
        assert of_words.scores[place] == pytest.approx(sum(of_pieces.scores[i] for i in together_with), abs=1e-12)
        if of_pieces.standard_errors is not None:
            squares = sum(of_pieces.standard_errors[i] ** 2 for i in together_with)
            assert of_words.standard_errors[place] ** 2 == pytest.approx(squares)
    assert (of_words.standard_errors is None) == (inner[:4] != "shap")
    assert of_words.notes == of_pieces.notes
    assert (of_words.text_id, of_words.target) == ("pieces", 1)


def test_content_without_a_word_keeps_its_own_score():
    one = replace(text([1, 5, 6, 7, 1]), words=np.array([-1, 3, -1, 3, -1]))
    model = LinearModel.random()
    a, b, c = answers(model, Occlusion()(one, 0)).scores[1:-1]
    np.testing.assert_allclose(answers(model, Words("occlusion")(one, 0)).scores, [0, a + c, b, a + c, 0])


def test_words_stand_for_their_explainer():
    component = spec.build("explainer", "words(lime(n_samples=50))")
    assert component.object == Words("lime(n_samples=50)")
    assert component.identity == f"words(explainer={spec.build('explainer', 'lime(n_samples=50)').identity!r})"
    assert [Words(inner).class_sensitive for inner in ("occlusion", "attention", "words(random)")] == [
        True,
        False,
        False,
    ]
    for wrong, said in (("occlusoin", "did you mean occlusion"), ("lime(n_samples=0)", "n_samples=0 is not allowed")):
        with pytest.raises(UserError, match=said):
            Words(wrong)


def per_token(texts: list[str]) -> list[np.ndarray]:
    return [np.arange(len(each.split()) + 2.0) for each in texts]


def per_word(texts: list[str]) -> list[list[float]]:
    return [[float(len(word)) for word in each.split()] for each in texts]


def per_piece(texts: list[str]) -> list[range]:
    return [range(14) for _ in texts]


def told(texts: list[str], targets: Sequence[int]) -> list[np.ndarray]:
    return [np.full(len(each.split()), target) for each, target in zip(texts, targets, strict=True)]


def twice(texts: list[str]) -> list[list[float]]:
    return per_word(texts) * 2


def table(texts: list[str]) -> np.ndarray:
    return np.zeros((1, 5, 3))


def untold(texts: list[str]) -> list[list[float]]:
    targets = len(texts)
    return per_word(texts)[:targets]


class Teller:
    def __call__(self, texts: list[str], targets: Sequence[int]) -> list[np.ndarray]:
        return told(texts, targets)


teller, number = Teller(), 3.0


def called(name: str) -> Callable:
    """The explainer of a function of this file."""
    return Callable(f"{__name__}:{name}")


def test_a_functions_scores_are_of_tokens_of_content_or_of_words():
    classifier = shared_classifier("bert")
    (plain,) = random_texts(classifier, (5,))
    assert called("per_token")(plain, 1).scores.tolist() == list(range(7))
    assert called("told")(plain, 1).scores.tolist() == [0, 1, 1, 1, 1, 1, 0]
    one = pieces(classifier)
    assert called("per_piece")(one, 1).scores.tolist() == [0, *range(14), 0]
    expected = [0 if word < 0 else len(one.source.split()[word]) for word in one.words]
    assert called("per_word")(one, 1).scores.tolist() == expected
    assert len(set(expected)) > 3


def imported(name):
    found = called(name)
    found.resolve()
    return found


def test_a_function_is_told_the_class_if_it_has_a_parameter_for_it():
    (one,) = random_texts(shared_classifier("bert", classes=3), (4,))
    assert [called("told")(one, target).scores.max() for target in range(3)] == [0, 1, 2]
    assert [imported(name).class_sensitive for name in ("told", "per_word")] == [True, False]
    assert called("per_word").class_sensitive, "as long as it has not been imported, nobody knows"


@pytest.mark.parametrize(("name", "sensitive"), [("untold", False), ("teller", True)])
def test_only_a_parameter_counts_in_a_function_or_an_object_that_can_be_called(name, sensitive):
    (one,) = random_texts(shared_classifier("bert"), (4,))
    assert imported(name).class_sensitive is sensitive
    assert np.isfinite(called(name)(one, 1).scores).all()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("twice", f"{__name__}:twice gave 2 arrays for 1 text"),
        ("per_token", "gave 8 scores for 16 tokens, 14 of them not special, in 6 words"),
        ("table", r"gave scores of shape \(5, 3\); a list of numbers is needed"),
    ],
)
def test_a_function_that_gives_the_wrong_number_of_scores_fails_with_the_numbers(name, complaint):
    with pytest.raises(ValueError, match=complaint):
        called(name)(pieces(shared_classifier("bert")), 0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ShapSampl(n_permutations=0), ["n_permutations=0", "from 1 to 10,000"]),
        (lambda: ShapSampl(n_permutations=25, antithetic=True), ["n_permutations=25", "antithetic", "even"]),
        (lambda: ShapSampl(protocol="papers"), ["protocol='papers'", "strict or paper"]),
        (lambda: ShapSampl(seed=-1), ["seed=-1", "from 0 to"]),
        (lambda: KernelShap(n_samples=1), ["n_samples=1", "from 2 to 1,000,000"]),
        (lambda: KernelShap(baseline="zero"), ["baseline='zero'", "mask or pad"]),
        (lambda: LIME(n_samples=0), ["n_samples=0", "from 1 to 1,000,000"]),
        (lambda: LIME(num_features=0), ["num_features=0", "from 1 to 100,000"]),
        (lambda: LIME(kernel_width=0.0), ["kernel_width=0.0", "above 0"]),
        (lambda: LIME(kernel_width=float("nan")), ["kernel_width=nan", "above 0"]),
        (lambda: LIME(feature_selection="lasso_path"), ["feature_selection='lasso_path'", "none", "highest_weights"]),
        (lambda: LIME(baseline="zero"), ["baseline='zero'", "mask or pad"]),
        (lambda: LIME(seed=-1), ["seed=-1", "from 0 to"]),
        (lambda: Occlusion(window=0), ["window=0", "from 1 to 1,000"]),
        (lambda: Occlusion(window=1001), ["window=1001", "from 1 to 1,000"]),
        (lambda: Occlusion(baseline="zero"), ["baseline='zero'", "mask or pad"]),
        (
            lambda: Callable("no_such_module:f").resolve(),
            ["function='no_such_module:f'", "cannot be imported", "no_such_module"],
        ),
        (lambda: called("no_such_function").resolve(), ["no_such_function'", "cannot be imported"]),
        (lambda: Callable("not a name"), ["function='not a name'", "package.module:function"]),
        (lambda: called("number").resolve(), [":number'", "is not a function"]),
    ],
)
def test_a_bad_parameter_is_refused_with_its_name_its_value_and_what_is_allowed(make, words):
    with pytest.raises(ValueError, match=r"=.* is not a|=.* cannot be imported") as caught:
        make()
    assert [word for word in words if word not in str(caught.value)] == []


@dataclass(frozen=True)
class Given:
    """An explainer that asks a question and gives what it was made with."""

    scores: Any
    standard_errors: Any = None

    def __call__(self, text: Text, target: int):
        yield Logits(text, np.ones((1, len(text)), dtype=bool))
        found = Attribution(text.id, target, np.zeros(len(text)))
        for name, value in (("scores", self.scores), ("standard_errors", self.standard_errors)):
            object.__setattr__(found, name, value)  # past the type checks that tests run with
        return found


def outcomes_of(explainers: dict[str, Any], one: Text, target: int):
    """How explanations end that are asked side by side."""
    checked = {name: explain(Component(name, name, each), one, Target(target), 3) for name, each in explainers.items()}
    (outcomes,) = Engine(LinearModel.random()).run([together(checked)])
    return outcomes


@pytest.mark.parametrize("target", [3, 7, -1])
def test_a_class_that_does_not_exist_is_one_sentence_from_every_explainer(target):
    explainers = {repr(each): each for each in (*OF_LOGITS, LIME(9), Saliency(), Words("occlusion"), Given(np.ones(4)))}
    for outcome in outcomes_of(explainers, text([1, 5, 6, 1]), target).values():
        assert outcome.error == f"ValueError: target {target} is not one of 3 classes"
        assert outcome.value is None


@pytest.mark.parametrize(
    ("scores", "errors", "complaint"),
    [
        (np.ones(3), None, "gave scores of shape (3,) for a text of 4 tokens"),
        (np.ones((4, 2)), None, "gave scores of shape (4, 2) for a text of 4 tokens"),
        (1.0, None, "gave scores of shape () for a text of 4 tokens"),
        (np.array([0, np.nan, 1, 0]), None, "gave scores that are not finite numbers"),
        (np.array([0, -np.inf, 1, 0]), None, "gave scores that are not finite numbers"),
        (np.ones(4), np.ones(3), "gave standard errors of shape (3,) for a text of 4 tokens"),
    ],
)
def test_scores_that_cannot_be_used_fail_their_own_cell_only(scores, errors, complaint):
    one = text([1, 5, 6, 1])
    outcomes = outcomes_of(
        {"faulty": Given(scores, errors), "sound": Occlusion(), "list": Given([0.0, 1.0, 2.0, 3.0])}, one, 0
    )
    assert outcomes["faulty"].error == f"ValueError: {complaint}"
    assert outcomes["faulty"].value is None
    assert outcomes["sound"].error is outcomes["list"].error is None
    assert outcomes["list"].value.scores.tolist() == [0, 1, 2, 3]
    assert outcomes["sound"].value.tokens == one.tokens


def test_imported_attributions_are_not_summed_over_words():
    with pytest.raises(UserError, match="imported attributions never run"):
        spec.build("explainer", "words(imported(name=mine, content=abc))")


def test_an_explanation_of_another_class_is_an_error():
    @dataclass(frozen=True)
    class Stubborn:
        def __call__(self, one: Text, target: int) -> Attribution:
            return Attribution(one.id, 0, np.zeros(len(one)))

    one, stubborn = text([1, 2, 3]), Component("stubborn", "stubborn", Stubborn())
    assert answers(LinearModel.random(), explain(stubborn, one, Target(0), 3)).target == 0
    with pytest.raises(RuntimeError, match="was asked about class 1 and speaks of class 0"):
        answers(LinearModel.random(), explain(stubborn, one, Target(1), 3))

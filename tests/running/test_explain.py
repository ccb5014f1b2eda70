"""`faithbench.explain`: the trust line against brute force, probabilities against transformers, words by rule."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import WORDS, tiny_classifier, tiny_network, tiny_tokenizer
from fixtures_run import DATA, trained_cache, use_cache
from rich.console import Console

import faithbench
from faithbench.conformance.linear import SIGNS, WEIGHTS, LinearModel, document
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.running.explanation import UNPROVEN, doubts
from faithbench.running.prediction import Prediction, at_chance, is_unproven, number
from faithbench.running.trust import ENOUGH, Trust, margins, most_as_much, sets_of_words, words_masked
from faithbench.types import Example, Target

SENTENCE = "a dull tale told in toil, and a lost boat"
TOKENS = [2, 3, 8, 14, 15, 4, 9]


def shown(what: object, width: int = 200) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as text:
        console.print(what)
    return text.get()


def explained(*args: object, **options: object) -> faithbench.Explanation:
    found = faithbench.explain(*args, **options)
    assert isinstance(found, faithbench.Explanation)
    return found


def test_percentile_and_values_are_those_of_brute_force_on_a_linear_model():
    found = explained(LinearModel(), " ".join(map(str, TOKENS)), "occlusion")
    trust = found.explained[0].trust
    total, k = WEIGHTS[TOKENS].sum(), 3
    first = np.argsort(-SIGNS[found.target.output] * WEIGHTS[TOKENS], kind="stable")[:k]
    assert trust.words == tuple(str(TOKENS[place]) for place in first)

    def probability(places: tuple[int, ...]) -> float:
        z = SIGNS[found.target.output] * (total - WEIGHTS[TOKENS][list(places)].sum())
        return math.exp(z) / (math.exp(z) + math.exp(-z))

    own = probability(tuple(first))
    others = [probability(s) for s in itertools.combinations(range(len(TOKENS)), k) if set(s) != set(first)]
    assert len(trust.others) == len(others) == math.comb(len(TOKENS), k) - 1
    np.testing.assert_allclose(trust.values, (probability(()), own, np.mean(others)), rtol=1e-6)
    less = sum(other > own + 1e-9 for other in others) + sum(abs(other - own) <= 1e-9 for other in others) / 2
    assert trust.percentile == pytest.approx(100 * less / len(others))


def test_equal_ones_count_half():
    assert Trust(("oil",), 3.0, 1.0, np.array([1.0, 1.0, 2.0, 0.5])).percentile == 100 * (1 + 2 / 2) / 4


@pytest.mark.parametrize("draws", [1, 19, 20, 21, 39, 40, 99, 100, 101, 1000])
def test_words_drawn_at_random_pass_for_better_in_less_than_5_percent(draws: int):
    found = [Trust(("oil",), 1e6, float(after), np.delete(np.arange(draws + 1.0), after)) for after in range(draws + 1)]
    passed = [trust for trust in found if trust.convinces]
    assert len(passed) / len(found) < 0.05
    assert (len(passed) + 1) / len(found) >= 0.05  # and no rule with this level shows more
    assert bool(passed) is (draws >= ENOUGH)
    assert max((trust.as_much for trust in passed), default=-1) == most_as_much(draws)


def test_sets_that_take_away_as_much_count_against_a_convincing_explanation():
    level = Trust(("oil",), 3.0, 1.0, np.r_[np.full(10, 1.0), np.full(90, 2.0)])
    assert level.percentile == 95
    assert level.as_much == 10
    assert not level.convinces


def test_margins_are_log_odds_values_or_differences():
    logits = np.array([[1.0, 3.0, -2.0], [800.0, -800.0, 0.0]])
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert margins(logits, Target(1), "softmax")[0] == pytest.approx(math.log(p[1] / (1 - p[1])))
    assert np.isfinite(margins(logits, Target(0), "softmax")).all()
    np.testing.assert_array_equal(margins(logits, Target(1), "sigmoid"), logits[:, 1])
    np.testing.assert_array_equal(margins(logits, Target(1), "identity"), logits[:, 1])
    np.testing.assert_array_equal(margins(logits, Target(1, 0), "softmax"), logits[:, 1] - logits[:, 0])


@pytest.mark.parametrize(("words", "masked"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (34, 3), (40, 4), (400, 10)])
def test_a_tenth_of_the_words_is_masked_within_limits(words: int, masked: int):
    assert words_masked(words) == masked


@pytest.mark.parametrize(("words", "size", "draws", "count"), [(5, 2, 100, 10), (30, 3, 100, 100), (1, 1, 100, 1)])
def test_sets_of_words_are_distinct_and_the_same_again(words: int, size: int, draws: int, count: int):
    text = document("x", TOKENS)
    sets = sets_of_words(text, words, size, draws)
    assert sets.shape == (count, size)
    assert len({tuple(each) for each in sets}) == count
    assert (np.diff(sets, axis=1) > 0).all()
    np.testing.assert_array_equal(sets, sets_of_words(text, words, size, draws))


def test_a_trust_line_doubts_words_that_do_no_more_than_random_ones():
    def said(after: float, others: np.ndarray) -> str:
        return " ".join(Trust(("oil",), 3.0, after, others, "Business").sentences())

    many = np.linspace(1.0, 2.0, 100)
    assert said(-1.0, many).endswith("(percentile 100).")
    assert said(-1.0, many).startswith(
        "Masking the first word (“oil”) takes Business from 0.95 to 0.27; random words: 0.8"
    )
    assert said(1.5, many).endswith(
        "Not shown to do more than random words: 50 of 100 other choices take away as much or more (it takes 4 or "
        "fewer)."
    )
    short = np.array([*[1.0] * 35, *[0.0] * 2])  # 94.6 percent: not to be read as 95
    assert "(percentile 94)" in said(0.5, short)
    assert "takes nothing away" in said(3.5, many)
    assert "next to nothing" in said(2.99, np.linspace(3.0, 4.0, 100))
    assert "only 4 other choices" in said(-1.0, many[:4])
    assert "no other words" in said(-1.0, many[:0])


def test_probabilities_and_names_are_those_of_transformers():
    network = tiny_network("bert", classes=3)
    network.config.id2label = {0: "World", 1: "Sports", 2: "Business"}
    found = explained(network, SENTENCE, "occlusion", tokenizer=tiny_tokenizer(), device="cpu")
    with torch.no_grad():
        expected = network(**tiny_tokenizer()(SENTENCE, return_tensors="pt")).logits.softmax(-1)[0].numpy()
    np.testing.assert_allclose(found.prediction.probabilities, expected, atol=1e-6)
    best, second = np.argsort(-expected)[:2]
    names = list(network.config.id2label.values())
    assert found.prediction.title == f"{names[best]} {expected[best]:.2f}"
    assert f"Runner-up: {names[second]} {expected[second]:.2f}" in shown(found)


def test_scores_are_those_of_attribute_and_sum_over_words():
    classifier = tiny_classifier("bert", bcos_b=1.5)
    found, plain = explained(classifier, SENTENCE, "bcos"), faithbench.attribute(classifier, [SENTENCE])[0]
    np.testing.assert_array_equal(found.explained[0].attribution.scores, plain.scores)
    frame = found.frame()
    assert "".join(frame["text"]) == SENTENCE.replace(" ", "")
    assert frame["score"].sum() == pytest.approx(plain.scores[1:-1].sum())
    assert list(frame.sort_values("rank")["score"]) == sorted(frame["score"], reverse=True)
    assert [SENTENCE[s:e] for s, e in zip(frame["start"], frame["end"], strict=True)] == list(frame["text"])


def test_against_explains_the_difference_and_refuses_itself():
    classifier = tiny_classifier("bert", classes=3)
    found = explained(classifier, SENTENCE, "occlusion", target=0, against="LABEL_2")
    assert (found.target.output, found.target.against) == (0, 2)
    z = found.prediction.logits
    assert f"LABEL_0 rather than LABEL_2, a difference of logits of {number(float(z[0] - z[2]))}" in shown(found)
    with pytest.raises(UserError, match="is what is explained itself"):
        explained(classifier, SENTENCE, "occlusion", target=1, against=1)
    with pytest.raises(UserError, match="against='Sports' is not the name of a class"):
        explained(classifier, SENTENCE, "occlusion", against="Sports")


def test_labels_and_values_are_said_as_what_they_are():
    labels = explained(tiny_classifier("bert", classes=3, problem_type="multi_label_classification"), SENTENCE)
    given = [f"LABEL_{n}" for n in np.argsort(-labels.prediction.logits) if labels.prediction.logits[n] > 0]
    assert [each.split()[0] for each in labels.prediction.title.split(", ")] == given
    assert "Not given" in shown(labels)
    value = explained(tiny_classifier("bert", classes=1), SENTENCE)
    assert value.prediction.title == f"the value {number(float(value.prediction.logits[0]))}"
    assert "+ raises the value" in shown(value)
    assert value.explained[0].trust.values[0] == pytest.approx(float(value.prediction.logits[0]), rel=1e-5)


def test_a_model_that_barely_prefers_a_class_or_is_at_chance_is_said_to():
    near = Prediction(np.array([0.0, 0.1]), "softmax", ("bad", "good"))
    assert any("barely prefers good 0.52 to bad 0.48" in each for each in near.about(Target(1)))
    sure = Prediction(np.array([0.0, 2.0]), "softmax", ("bad", "good"))
    assert list(sure.about(Target(1))) == ["Runner-up: bad 0.12."]
    assert "Explained: bad." in list(sure.about(Target(0)))
    assert "at chance" in at_chance({"test": {"balanced_accuracy": 27.0}}, 4)
    assert not at_chance({"test": {"balanced_accuracy": 86.0}}, 4)
    assert not at_chance({}, 4)


def test_where_nothing_is_known_of_a_models_accuracy_that_is_said_once():
    several = faithbench.explain(tiny_classifier("bert"), [SENTENCE, SENTENCE], "occlusion")
    assert shown(several, 2000).count(UNPROVEN) == several.html().count(UNPROVEN) == 1
    assert shown(several[0], 2000).count(UNPROVEN) == 1
    assert is_unproven({"test": {"balanced_accuracy": math.nan}}, "softmax", 4)
    assert not is_unproven({"test": {"balanced_accuracy": 27}}, "softmax", 4)
    assert not is_unproven({}, "identity", 1)


def test_an_explainer_that_is_not_complete_is_said_not_to_be():
    conventional, converted = tiny_classifier("bert"), tiny_classifier("bert", bcos_b=1.5)

    def doubted(classifier: HuggingFaceClassifier, explainer: str) -> str:
        found = explained(classifier, SENTENCE, explainer)
        component = spec.build("explainer", explainer)
        return " ".join(doubts(component, found.explained[0].attribution, found.prediction.logits))

    assert "Not complete: its scores add up to" in doubted(conventional, "bcos")
    assert "complete" not in doubted(converted, "bcos")
    assert "not made to add up" in doubted(conventional, "saliency")
    assert "do not depend on the class" in doubted(conventional, "attention")


def test_a_short_text_has_nothing_to_compare_with():
    found = explained(tiny_classifier("bert"), "noon", "occlusion")
    assert "no other words to compare with" in shown(found)


def test_what_was_cut_is_said_and_shown():
    found = explained(tiny_classifier("bert"), " ".join(WORDS * 4), "occlusion")
    lost = len(WORDS * 4) - 38
    assert f"the last {lost} words" in shown(found)
    assert "[not read:" in shown(found)


def test_pairs_stand_on_two_lines():
    found = explained(tiny_classifier("bert"), "a dull lion", "occlusion", pair="an old boat is lost")
    assert [line.text for line in found.sheet.rows[0].lines] == ["a dull lion", "an old boat is lost"]
    assert len(found.frame()) == 8


def test_several_texts_are_a_list_with_one_legend(tmp_path: Path):
    texts = [SENTENCE, "noon", "an old lion"]
    found = faithbench.explain(tiny_classifier("bert"), texts, ["occlusion", "random"])
    assert isinstance(found, list)
    assert set(found.frame()["text_id"]) == {"0", "1", "2"}
    assert shown(found).count("compare what lines name") == 1
    assert found._repr_html_().count("fb-sheet") >= 3
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(f'{{"text": "{text}"}}\n' for text in texts), "utf-8")
    same = faithbench.explain(tiny_classifier("bert"), file, ["occlusion", "random"])
    assert same.frame().equals(found.frame())


def test_files_are_written_whole_and_checked_before_anything_is_computed(tmp_path: Path):
    classifier = tiny_classifier("bert")
    for ending in (".html", ".svg", ".png"):
        explained(classifier, SENTENCE, "occlusion", draws=0, save=[tmp_path / f"x{ending}"])
        assert (tmp_path / f"x{ending}").stat().st_size > 1000
    svg = (tmp_path / "x.svg").read_text("utf-8")
    assert ">boat<" in svg
    with pytest.raises(UserError, match="there is no folder"):
        faithbench.explain("no-such-model", SENTENCE, save=[tmp_path / "no" / "x.html"])
    with pytest.raises(UserError, match=r"does not end in \.html"):
        faithbench.explain("no-such-model", SENTENCE, save=[tmp_path / "x.gif"])
    with pytest.raises(UserError, match="too many for the picture"):
        faithbench.explain("no-such-model", ["noon"] * 21, save=[tmp_path / "y.png"])
    assert not (tmp_path / "y.png").exists()


def test_a_page_says_what_it_was_made_of_and_numbers_several_texts():
    model = LinearModel()
    one, several = (faithbench.explain(model, texts, "saliency", draws=0).html() for texts in (["2 3 8"], ["2", "3"]))
    assert f"weights {model.fingerprint()}; explainers {spec.build('explainer', 'saliency').identity}." in one
    assert "texts explained" not in one
    assert "<h2>1. " in several
    assert "<h2>2. " in several
    assert several.count("Made by faithbench") == 1


def test_an_explainer_that_fails_is_named():
    with pytest.raises(UserError, match=r"explainer 'decompx' failed \(QuestionError: DecompX reads"):
        faithbench.explain(LinearModel(), "2 3 4", ["decompx", "occlusion"])


def test_a_run_shows_its_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    use_cache(monkeypatch, trained_cache())
    plan = faithbench.Plan((DATA,), ("conv-tiny",), ("occlusion", "random"), ("evidence",), limit=4)
    found = faithbench.run(plan, tmp_path / "run", device="cpu")
    assert found.frame().equals(faithbench.table([tmp_path / "run"]))
    assert "occlusion" in shown(found)
    page, notebook = faithbench.render([tmp_path / "run"], "html"), found._repr_html_()
    tables = page[page.index("</style>") + len("</style>") : page.index("</html>")].strip()
    assert f'<div class="fb-table">{tables}</div>' in notebook
    assert type(notebook) is str  # what is put before it is not escaped
    rules = notebook[notebook.index("<style>") + len("<style>") : notebook.index("</style>")].strip().splitlines()
    assert all(one.startswith(".fb-table ") for rule in rules for one in rule.partition(" {")[0].split(", "))


def test_defaults_fit_the_model_and_what_fails_is_left_out():
    names = [each.attribution.explainer for each in explained(tiny_classifier("bert", bcos_b=1.5), SENTENCE).explained]
    assert names == ["bcos", "occlusion"]
    names = [each.attribution.explainer for each in explained(tiny_classifier("bert"), SENTENCE).explained]
    assert names == ["attn_lrp", "occlusion"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"texts": []}, "texts is empty"),
        ({"texts": ""}, "its text is empty"),
        ({"explainers": []}, "explainers is empty"),
        ({"explainers": "occlusoin"}, "did you mean occlusion"),
        ({"by": "letter"}, "by='letter' is not allowed; use word or token"),
        ({"draws": -1}, "draws=-1 is not allowed"),
        ({"limit": 0}, "limit=0 is not allowed"),
        ({"column": "text"}, "column is that of a file"),
        ({"texts": ["noon"], "pair": "x"}, "pair is the second text of one text"),
        ({"target": "Sports"}, "target='Sports' is not the name of a class"),
        ({"texts": Path("no-such.csv")}, "does not exist"),
    ],
)
def test_mistakes_are_one_sentence(arguments: dict, sentence: str):
    with pytest.raises(UserError, match=sentence) as raised:
        faithbench.explain(
            **{"model": tiny_classifier("bert"), "texts": SENTENCE, "explainers": "occlusion", **arguments}
        )
    assert len(str(raised.value)) < 400


def test_attributions_show_themselves_with_what_they_explain():
    found = faithbench.attribute(tiny_classifier("bert"), [SENTENCE, "noon"], "occlusion")
    assert isinstance(found, list)
    assert found.frame().groupby("text_id").size().to_dict() == {"0": 11, "1": 1}
    assert SENTENCE.rsplit(maxsplit=1)[-1] in shown(found[0])
    assert "<mark" in found[0]._repr_html_()
    assert found._repr_html_().count("<section") == 2
    assert found[0].source == Example("0", SENTENCE, None)

"""The small grammar: one word decides, no other speaks for the answer, and it is in no one place but of a template."""

import re
from collections import Counter

import numpy as np
import pytest

from faithbench.datasets.grammar import DETERMINERS, HER, HIM, NAMES, NOUNS, REFLEXIVES, VERBS
from faithbench.datasets.planted_grammar import NAMES as TEMPLATES
from faithbench.datasets.planted_grammar import PlantedGrammar
from faithbench.types import SPLITS

PLURALS = {plural for _, plural in NOUNS}
SINGULARS = {singular for singular, _ in NOUNS}


def questions(**parameters):
    return PlantedGrammar(**parameters).load("test")


def template_of(example):
    return example.id.removeprefix("test-").rpartition("-")[0]


def marked(example):
    ((start, end),) = example.evidence
    return example.text[start:end]


def place(example):
    """The number of the word that decides, and of how many."""
    ((start, _),) = example.evidence
    return example.text[:start].count(" "), len(example.text.split())


def answer(words, evidence, template):
    """What the grammar says, told again: from the word that decides alone."""
    if template == "anaphor":
        return REFLEXIVES[0 if evidence in HER else 1 if evidence in HIM else 2]
    if template == "ioi":
        (other,) = [name for name, times in Counter(word for word in words if word in NAMES).items() if times == 1]
        return other
    return "plural" if evidence in {*DETERMINERS[1], *PLURALS} else "singular"


def number_of(word):
    plural = {*PLURALS, *(verb[1] for verb in VERBS)}
    singular = {*SINGULARS, *(verb[0] for verb in VERBS)}
    return "plural" if word in plural else "singular" if word in singular else word


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_marked_word_says_what_follows(template):
    for example in questions(template=template, test=300):
        assert (example.label, template_of(example)) == (0, template)
        words, evidence = example.text.replace(",", "").split(), marked(example)
        told = answer(words, evidence, template)
        assert number_of(example.good) == told
        assert number_of(example.bad) != told
        others = [word for i, word in enumerate(words) if i != place(example)[0]]
        assert evidence not in others
        for other in others if template in ("determiner", "subject-verb") else ():
            assert other not in (PLURALS if told == "plural" else SINGULARS)


def test_templates_take_turns_and_names_say_which():
    found = questions(test=25)
    assert [template_of(example) for example in found[:10]] == [*TEMPLATES, *TEMPLATES]
    assert len({example.id for example in found}) == 25
    alone = questions(template="ioi", test=5)
    assert alone == [example for example in found if template_of(example) == "ioi"]


def test_good_words_are_as_often_one_as_the_other():
    found = questions(test=1200)
    for template, several in (("anaphor", 3), ("subject-verb", 8)):
        mine = [example for example in found if template_of(example) == template]
        good, bad = (Counter(getattr(example, side) for example in mine) for side in ("good", "bad"))
        assert len(good) == several
        assert good == bad == Counter(dict.fromkeys(good, 240 // several))
    for template in ("determiner", "determiner-adjective"):
        good = [example.good in PLURALS for example in found if template_of(example) == template]
        assert sum(good) == len(good) / 2


def test_of_two_people_the_first_is_the_other_one_in_half_of_the_questions():
    found = questions(template="ioi", test=400)
    first = [next(word for word in example.text.split() if word in NAMES) for example in found]
    assert np.mean([name == example.good for name, example in zip(first, found, strict=True)]) == 0.5
    assert all(re.findall(r"\w+", example.text).count(example.good) == 1 for example in found)


def test_the_evidence_is_mostly_in_no_one_place_but_the_last_of_a_determiner():
    places = {template: [place(e) for e in questions(template=template, test=400)] for template in TEMPLATES}
    for template, found in places.items():
        for counted in ([at for at, _ in found], [many - at for at, many in found]):
            most = Counter(counted).most_common(1)[0][1] / len(found)
            assert most == 1 if (template, max(counted)) == ("determiner", 1) else most < 0.65
    every = [found[i] for found in places.values() for i in range(200)]
    for counted in ([at for at, _ in every], [many - at for at, many in every]):
        assert max(Counter(counted).values()) / len(every) < 0.4


def test_sentences_are_of_the_same_language_and_none_is_in_two_splits():
    data = PlantedGrammar(train=4000, validation=300, test=1000)
    found = {split: data.load(split) for split in SPLITS}
    plain = [*found["train"], *found["validation"]]
    assert all((e.label, e.good, e.bad, e.evidence) == (None,) * 4 for e in plain)
    words = {word for e in plain for word in re.findall(r"\w+", e.text)}
    asked = {word for e in found["test"] for word in re.findall(r"\w+", f"{e.text} {e.good} {e.bad}")}
    assert asked <= words
    assert len(words) == 80
    texts = [{e.text for e in found[split]} for split in ("train", "validation")]
    assert not texts[0] & texts[1]
    for text in texts:
        assert not [e for e in found["test"] if any(f"{e.text} {e.good}{end}" in text for end in (".", " old."))]


def test_in_sentences_other_words_say_nothing_of_what_follows():
    """Of a verb with two nouns before it, the nearer is as often of its number as not."""
    nearer = []
    for example in PlantedGrammar(train=6000).load("train"):
        words = example.text.rstrip(".").split()
        verb = next((i for i, word in enumerate(words) if any(word in both for both in VERBS)), None)
        if verb:
            nearer.append(number_of(words[verb]) == number_of(words[verb - 1]))
    assert len(nearer) > 1000
    assert abs(np.mean(nearer) - 0.5) < 0.04


def test_a_phrase_is_the_subject_with_its_article():
    words = {example.id: marked(example) for example in questions()}
    for example in questions(evidence="phrase"):
        article = template_of(example) == "subject-verb" or words[example.id] in PLURALS
        assert marked(example) == ("the " if article else "") + words[example.id]


def test_everything_is_drawn_by_seed_and_split():
    assert questions(test=50) == questions(train=10)[:50]
    assert questions(seed=1) != questions()
    train = PlantedGrammar(train=50).load("train")
    assert train == PlantedGrammar(train=90, test=3).load("train")[:50]
    assert train != PlantedGrammar(train=50, seed=1).load("train")


@pytest.mark.parametrize("parameters", [{"train": 0}, {"test": 5001}, {"template": "npi"}, {"evidence": "all"}])
def test_parameters_are_checked(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"^{name}="):
        PlantedGrammar(**parameters)

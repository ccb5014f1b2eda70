"""What people are shown: texts of which all models say the same, drawn evenly from the classes, with every method.

A method is an explainer of a model. The B-cos paper (arXiv 2502.12992, Figure 3) sets the explanations that a B-cos
model has of its own against those of others for the conventional model, on texts for which both predict the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from faithbench.comparing.pairs import one
from faithbench.errors import UserError
from faithbench.labels import class_called
from faithbench.records.columns import PLACE
from faithbench.records.results import label, labels, named
from faithbench.records.store import Store
from faithbench.records.texts import KeptTexts, Said, read_texts
from faithbench.shown import counted
from faithbench.types import Attribution, Target, Text

OWN, BCOS_MODELS = "bcos", ("bcos-",)  # the explainer that B-cos models bring along, and how their names begin
COLUMNS = ("scores",)


@dataclass(frozen=True)
class Method:
    """An explainer of a model; `label` is what people who read results call it."""

    model: str
    model_fingerprint: str
    explainer: str
    label: str


@dataclass(frozen=True)
class Item:
    """A text, the class that all models predict and that of its label, and what each method says of the text.

    Each method speaks of the text as its own model reads it.
    """

    text_id: str
    predicted: str
    label: str | None
    explained: tuple[tuple[Text, Attribution], ...]


@dataclass(frozen=True)
class Pool:
    """All texts that can be shown, the methods, and what is to be known of both."""

    dataset: str
    dataset_fingerprint: str
    methods: tuple[Method, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Model:
    """A model on the data set: its texts, what it says of them, and the scores of each explainer by text."""

    key: Mapping[str, str]
    texts: Mapping[str, Text]
    said: Mapping[str, Said]
    class_names: tuple[str, ...]
    continuations: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    scores: dict[str, dict[tuple[str, int], Float[np.ndarray, "tokens"]]] = field(default_factory=dict)

    def named(self, number: int | None, text_id: str) -> str | None:
        """What a class is called; of a next-token question, the word that is preferred, and to which."""
        if number is None:
            return None
        if text_id in self.continuations and number in (0, 1):
            words = self.continuations[text_id]
            return f"{words[number].strip()} rather than {words[1 - number].strip()}"
        return class_called(number, self.class_names)


def pool(
    folders: Sequence[Path],
    dataset: str | None = None,
    models: Sequence[str] | None = None,
    explainers: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    every_pair: bool = False,
    correct: bool = False,
) -> Pool:
    """What can be shown of runs.

    Args:
        folders: of the runs.
        dataset: which, if there are several.
        models: which; all if None.
        explainers: which; all if None.
        methods: which, as `EXPLAINER of MODEL`; those of the other choices if None.
        every_pair: all explainers stand for all models.
        correct: only texts whose label the models predict.

    Raises:
        UserError: a name is not known, the runs keep no texts, there are fewer than two methods, or no text will do.
    """
    frame = _attributions(folders)
    data = _dataset(frame, dataset)
    frame = frame[frame["dataset"].astype(str) == data]
    frame = _chosen(_chosen(frame, "model", models), "explainer", explainers)
    kept = read_texts(folders)
    found = [_model(group, kept) for _, group in frame.groupby(PLACE, observed=True, sort=True)]
    _check_texts(found, data)
    pairs = _named_pairs(found, methods) if methods else _pairs(found, every_pair)
    if len(pairs) < 2:
        raise UserError(
            "a study compares at least two methods, an explainer of a model each, and the runs hold "
            f"{len(pairs)} of those asked for."
        )
    items = tuple(_items(found, pairs, correct))
    if not items:
        raise UserError(
            f"no text of {label('dataset', data)} can be shown: on none do all models predict the same class"
            f"{', that of its label,' if correct else ''} with an explanation of it by every method."
        )
    content = found[0].key["dataset_fingerprint"]
    return Pool(data, content, tuple(_methods(found, pairs)), items, tuple(_notes(found, items, correct)))


def draw(items: Sequence[Item], number: int, seed: int) -> list[Item]:
    """So many items, as evenly from the classes that are predicted as there are texts; in any order of `items`."""
    generator = np.random.default_rng([seed, 0])
    by_class: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda one: one.text_id):
        by_class.setdefault(item.predicted, []).append(item)
    waiting = [[own[i] for i in generator.permutation(len(own))] for _, own in sorted(by_class.items())]
    waiting = [waiting[i] for i in generator.permutation(len(waiting))]  # no class is always the first to be short
    drawn = [own[turn] for turn in range(max(map(len, waiting))) for own in waiting if turn < len(own)]
    return drawn[:number]


def _attributions(folders: Sequence[Path]) -> pd.DataFrame:
    """Those that did not fail, of the weights and data that the manifests name, and of each the latest version."""
    parts = []
    for folder in folders:
        if not (folder / "attributions").is_dir():
            raise UserError(f"{folder} is not a run: it has no attributions.")
        parts.append(Store(folder).read("attributions", columns=COLUMNS))
    frame = pd.concat([part.astype({"version": str}) for part in parts], ignore_index=True)
    frame = frame[frame["error"].isna() & frame["against"].isna()]
    if frame.empty:
        raise UserError(f"{', '.join(map(str, folders))} holds no explanations yet.")
    frame = frame[named(frame, folders)]
    numbers = frame["version"].map(lambda version: tuple(map(int, version.split("."))))
    frame = frame.assign(number=numbers).sort_values("number", kind="stable")
    return frame.drop_duplicates([*PLACE, "explainer", "text_id", "target"], keep="last")


def _dataset(frame: pd.DataFrame, wanted: str | None) -> str:
    known = sorted(set(frame["dataset"].astype(str)))
    if wanted is not None:
        return one("dataset", wanted, known)
    if len(known) > 1:
        names = " or ".join(labels("dataset", known).values())
        raise UserError(f"the runs hold {len(known)} data sets, and a study is of one; name --dataset {names}.")
    return known[0]


def _chosen(frame: pd.DataFrame, what: str, wanted: Sequence[str] | None) -> pd.DataFrame:
    if not wanted:
        return frame
    known = sorted(set(frame[what].astype(str)))
    return frame[frame[what].astype(str).isin([one(what, name, known) for name in wanted])]


def _model(group: pd.DataFrame, kept: KeptTexts) -> _Model:
    key = {name: str(group[name].iloc[0]) for name in PLACE}
    model = _Model(key, kept.of(key), kept.said(key), tuple(kept.class_names(key)), kept.continuations(key))
    for row in group.itertuples():
        of_texts = model.scores.setdefault(str(row.explainer), {})
        of_texts[str(row.text_id), int(row.target)] = np.asarray(row.scores, dtype=np.float64)  # type: ignore[arg-type]
    return model


def _check_texts(models: Sequence[_Model], dataset: str) -> None:
    if len({model.key["dataset_fingerprint"] for model in models}) > 1:
        raise UserError(
            f"the runs hold different contents of {label('dataset', dataset)}; make a study of one of them."
        )
    for model in models:
        if not model.texts or not model.said:
            raise UserError(
                f"the texts of {label('model', model.key['model'])} on {label('dataset', dataset)} are not kept in the "
                "run, which an earlier version made; the same `faithbench run` again keeps them."
            )
        if any(text.link != "softmax" for text in model.texts.values()):
            raise UserError(
                f"{label('model', model.key['model'])} says labels or values; people are asked why one class is chosen."
            )


def _pairs(models: Sequence[_Model], every_pair: bool) -> list[tuple[int, str]]:
    """Which explainers stand for which models: where there are both, `bcos` for B-cos models and others for others.

    What is a B-cos model its name says; a checkpoint's folder says nothing, and then all explainers stand for all.
    """
    is_own = [model.key["model"].startswith(BCOS_MODELS) and any(map(_is_own, model.scores)) for model in models]
    alone = not every_pair and any(is_own) and not all(is_own)
    return [
        (i, name)
        for i, model in enumerate(models)
        for name in sorted(model.scores)
        if not alone or _is_own(name) == is_own[i]
    ]


def _is_own(explainer: str) -> bool:
    return explainer.split("(", maxsplit=1)[0] == OWN


def _named_pairs(models: Sequence[_Model], wanted: Sequence[str]) -> list[tuple[int, str]]:
    """The methods of these names, `EXPLAINER of MODEL`."""
    found = []
    for name in wanted:
        explainer, of, model = name.rpartition(" of ")
        if not of:
            raise UserError(f"method {name!r} is not known; write EXPLAINER of MODEL, such as 'lime of conv-bert'.")
        meant = one("model", model, sorted({own.key["model"] for own in models}))
        for i, own in enumerate(models):
            if own.key["model"] == meant:
                found.append((i, one("explainer", explainer, sorted(own.scores))))
    return list(dict.fromkeys(found))


def _methods(models: Sequence[_Model], pairs: Sequence[tuple[int, str]]) -> list[Method]:
    names, explainers = _model_names(models), labels("explainer", [name for _, name in pairs])
    several = len({i for i, _ in pairs}) > 1
    return [
        Method(
            models[i].key["model"],
            models[i].key["model_fingerprint"],
            name,
            f"{explainers[name]} of {names[i]}" if several else explainers[name],
        )
        for i, name in pairs
    ]


def _model_names(models: Sequence[_Model]) -> list[str]:
    """With their weights where two have one name."""
    names = labels("model", [model.key["model"] for model in models])
    told = [names[model.key["model"]] for model in models]
    weights = [model.key["model_fingerprint"] for model in models]
    return [
        f"{name} (weights {weight})" if told.count(name) > 1 else name
        for name, weight in zip(told, weights, strict=True)
    ]


def _items(models: Sequence[_Model], pairs: Sequence[tuple[int, str]], correct: bool) -> list[Item]:
    by_name = len({frozenset(model.class_names) for model in models}) == 1 and bool(models[0].class_names)
    items = []
    for text_id in sorted(set.intersection(*(set(model.texts) & set(model.said) for model in models))):
        predicted = [int(model.said[text_id].predicted) for model in models]
        golds = [model.texts[text_id].label for model in models]
        told = [model.named(number, text_id) for model, number in zip(models, predicted, strict=True)]
        if len(set(told if by_name else predicted)) > 1 or (correct and predicted != golds):
            continue
        explained = [_explained(models[i], name, text_id, predicted[i]) for i, name in pairs]
        complete = tuple(pair for pair in explained if pair is not None)
        if len(complete) == len(pairs):
            items.append(Item(text_id, str(told[0]), models[0].named(golds[0], text_id), complete))
    return items


def _explained(model: _Model, explainer: str, text_id: str, target: int) -> tuple[Text, Attribution] | None:
    text, scores = model.texts[text_id], model.scores[explainer].get((text_id, target))
    if scores is None or text.offsets is None or len(scores) != len(text) or not np.isfinite(scores).all():
        return None
    return text, Attribution(text_id, Target(target), scores)


def _notes(models: Sequence[_Model], items: Sequence[Item], correct: bool) -> list[str]:
    told = f"{counted(len(items), 'text')} can be shown: "
    every = len(set.union(*(set(model.texts) for model in models)))
    if len(models) == 1:
        told += f"of {every:,}, those that every method explains; there is one model, so nothing was to agree on"
    else:
        told += f"of {every:,}, those on which {len(models)} models predict the same class and every method explains it"
    return [f"{told}{', which is that of the label' if correct else ''}."]

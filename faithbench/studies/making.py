"""Makes a study of runs: a questionnaire to be sent, and the key to its answers, which stays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from faithbench.errors import UserError, short
from faithbench.files import write_whole
from faithbench.paths import as_names, as_path, as_paths
from faithbench.studies import key as keys
from faithbench.studies.items import Item, Method, Pool, draw, pool
from faithbench.studies.key import Key, KeyItem, KeyMethod
from faithbench.studies.questionnaire import questionnaire

PAGE = "questionnaire.html"
ITEMS, RATERS = 50, 5


@dataclass(frozen=True)
class Study:
    """A study as it was made.

    Args:
        name: a digest of its key.
        page: the questionnaire, the one file that raters are sent.
        key: the file that says which explanation is whose, which they are not sent.
        texts: how many are shown.
        methods: what is compared.
        raters: for how many people the questionnaire has an order.
        notes: what is to be known of the texts.
    """

    name: str
    page: Path
    key: Path
    texts: int
    methods: tuple[str, ...]
    raters: int
    notes: tuple[str, ...]

    @property
    def ratings(self) -> int:
        """How many each rater gives."""
        return self.texts * len(self.methods) * len(keys.QUESTIONS)


def make_study(
    runs: Sequence[Path | str],
    out: Path | str | None = None,
    items: int = ITEMS,
    raters: int = RATERS,
    seed: int = 0,
    dataset: str | None = None,
    models: Sequence[str] | None = None,
    explainers: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    every_pair: bool = False,
    correct: bool = False,
) -> Study:
    """Makes a questionnaire in which people rate explanations of runs without knowing whose they are.

    Texts are drawn evenly from the classes, among those on which all models predict the same. Where there are both,
    B-cos models are explained by `bcos` alone and conventional ones by all others, as in the B-cos paper.

    Args:
        runs: folders of runs.
        out: folder of the study; None for one beside the first run, of its name and `-study`.
        items: texts that everybody rates.
        raters: for how many people; each sees texts and methods in an order of their own.
        seed: of texts, orders and names of explanations.
        dataset: which, if the runs hold several.
        models: which; all if None.
        explainers: which; all if None.
        methods: which, as `EXPLAINER of MODEL`; those of the other choices if None.
        every_pair: explain all models by all explainers.
        correct: only texts whose label is predicted.

    Raises:
        UserError: the runs keep no texts, a name is not known, nothing can be shown, or `out` holds another study.
    """
    for name, value in (("items", items), ("raters", raters), ("seed", seed)):
        least, most = keys.LIMITS[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UserError(f"{name}={short(value)} is not allowed; give a whole number from {least} to {most:,}.")
    named = {"models": models, "explainers": explainers, "methods": methods}
    models, explainers, methods = (None if own is None else as_names(name, own) for name, own in named.items())
    folders = as_paths("runs", runs)
    if not folders:
        raise UserError("no run is named; a study is made of at least one.")
    home = as_path("out", out) if out is not None else folders[0].parent / f"{folders[0].resolve().name}-study"
    found = pool(folders, dataset, models, explainers, methods, every_pair, correct)
    drawn = draw(found.items, items, seed)
    key = _key(found, drawn, items, raters, seed)
    _check_place(home, key["study"])
    write_whole(home / keys.NAME, keys.written(key))
    write_whole(home / PAGE, questionnaire(key, drawn))
    labels = tuple(method["label"] for method in key["methods"])
    return Study(key["study"], home / PAGE, home / keys.NAME, len(drawn), labels, raters, tuple(key["notes"]))


def _check_place(home: Path, name: str) -> None:
    if home.exists() and not home.is_dir():
        raise UserError(f"{home} is no folder, which a study needs; name another with --out.")
    if (home / keys.NAME).exists() and keys.read_key(home)["study"] != name:
        raise UserError(f"{home} holds another study, whose answers need its key; name another folder with --out.")


def _key(found: Pool, drawn: Sequence[Item], wanted: int, raters: int, seed: int) -> Key:
    notes = list(found.notes)
    if len(drawn) < wanted:
        notes.append(f"{wanted:,} texts were asked for, and {len(drawn):,} are shown, which is all there are.")
    names = iter(_names(len(drawn) * (1 + len(found.methods)), seed))
    key = Key(
        format=1,
        study="",
        made_by=f"faithbench {version('faithbench')}",
        dataset=found.dataset,
        dataset_fingerprint=found.dataset_fingerprint,
        seed=seed,
        raters=raters,
        asked={name: words for name, (words, *_) in keys.ASKED.items()},
        methods=list(map(_method, found.methods)),
        items=[_item(item, names) for item in drawn],
        notes=notes,
    )
    return Key(**{**key, "study": keys.digest(key)})


def _method(method: Method) -> KeyMethod:
    return KeyMethod(
        model=method.model,
        model_fingerprint=method.model_fingerprint,
        explainer=method.explainer,
        label=method.label,
    )


def _item(item: Item, names: Iterator[str]) -> KeyItem:
    return KeyItem(
        item=next(names),
        text_id=item.text_id,
        predicted=item.predicted,
        label=item.label,
        explanations=[next(names) for _ in item.explained],
    )


def _names(number: int, seed: int) -> list[str]:
    """So many different names without a meaning, in no order."""
    generator, names = np.random.default_rng([seed, 1]), dict[str, None]()
    while len(names) < number:
        names[generator.bytes(6).hex()] = None
    return list(names)

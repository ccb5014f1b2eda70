"""What a manifest says of data and models that a reader of the numbers must know, in sentences."""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from faithbench.records.fingerprints import precision_of, weights_of
from faithbench.records.manifest import (
    DatasetEntry,
    Manifest,
    ModelEntry,
    Moved,
    Precision,
    is_of_documents,
    is_on,
    sampling_of,
)
from faithbench.records.results import earlier_versions, label
from faithbench.statistics.ground_truth import truth_doubts
from faithbench.statistics.performance import is_above_chance
from faithbench.types import Skipped

NAMED = 3  # rows that a sentence names
KEPT = 100  # rows that a manifest names
MANY_UNKNOWN = 10.0  # percent of tokens
MANY_REPEATED = 5.0  # percent of texts
SHAPLEY_LIMIT = 10  # times the limit of points: percent of the largest score
BCE, CE = "bce", "ce"  # binary cross-entropy, cross-entropy
REORDERED = (
    "perhaps its classes are in another order than was assumed: give labels its class numbers, or its id2label in "
    "config.json the names; if not, "
)
REPEATS = "repeats say nothing new, so intervals are too narrow and p too small; leave them out of a file of your own"
MEASURES = {"comprehensiveness": "comprehensiveness", "sufficiency": "sufficiency", "seqpg": "SeqPG"}


def skipped_entry(skipped: Sequence[Skipped], total: int) -> dict[str, Any]:
    """Rows that were left out, of so many, as a manifest keeps them."""
    rows = [{"id": row.id, "reason": row.reason} for row in skipped[:KEPT]]
    return {"count": len(skipped), "of": total, "rows": rows}


def left_out(entry: Mapping[str, Any]) -> str:
    """How many rows were left out, and the first of them with their reasons."""
    rows = [": ".join(_which(row["id"], row["reason"])) for row in entry["rows"][:NAMED]]
    more = entry["count"] - len(rows)
    were = "was" if entry["count"] == 1 else "were"
    told = "; ".join([*rows, *([f"and {more:,} more"] if more else [])])
    return f"{entry['count']:,} of {entry['of']:,} rows {were} left out: {told}."


def of_data(datasets: Mapping[str, DatasetEntry]) -> Iterator[str]:
    """A sentence for the rows that each data set left out, and for everything that it noted.

    Args:
        datasets: the manifest's, by identity.
    """
    for name, entry in datasets.items():
        if "skipped" in entry:
            yield f"{label('dataset', name)}: {left_out(entry['skipped'])}"
        for note in entry.get("notes", ()):
            begin, _, rest = note.rstrip(".").partition(": ")
            told = rest if rest and begin in name else note.rstrip(".")
            yield f"{label('dataset', name)}: {told}."


def perplexity_said(own: float, before: float) -> str:
    """A language model's perplexity of validation texts, beside that of the model that it was converted from."""
    beside = f", {before:.2f} of the conventional model that it was converted from" if math.isfinite(before) else ""
    return f"perplexity {own:.2f} of validation texts{beside}"


def strictly(skipped: Sequence[Skipped]) -> str:
    """Why a strict run stops, by the first row that cannot be used."""
    first = skipped[0]
    which, why = _which(first.id, first.reason)
    return f"{which} cannot be used: {why}; without --strict it is left out."


def _which(name: str, reason: str) -> tuple[str, str]:
    """Which row is meant, by its number where the reason says that, else by id; and why it cannot be used."""
    numbered = re.fullmatch(r"row (\d+): (.*)", reason, re.DOTALL)
    if numbered is None:
        return f"row {name!r}", reason
    number, why = numbered.groups()
    own = name != str(int(number) - 1)  # else it has no other than its number, from 0
    return f"row {number}" + f" (id {name!r})" * own, why


def not_by_label(entry: DatasetEntry) -> bool:
    """Whether texts were drawn from a data set that has labels, or may have, without a look at these."""
    return sampling_of(entry) == "random" and "label" in entry.get("offers", ["label"])


def cautions(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is to be said of a model on a data set, each a sentence without the model's name.

    Args:
        entry: the manifest's.
    """
    if entry.get("skipped"):
        yield left_out(entry["skipped"])
    yield from entry.get("said", ())
    performance = entry.get("performance", {})
    if performance and not is_above_chance(performance):
        nothing = "explanations of a model that knows nothing are worth nothing."
        below = performance.get("accuracy", math.inf) <= performance.get("chance", -math.inf)
        yield f"{_weak(performance)}; {REORDERED if below and entry.get('said') else ''}{nothing}"
    kinds = entry.get("kinds") or {}
    if weak := [f"{kind} ({found['accuracy']:.1f} %)" for kind, found in kinds.items() if not is_above_chance(found)]:
        yield f"on some kinds of questions its accuracy is not shown to be above chance: {', '.join(weak)}."
    yield from truth_doubts(entry.get("checks", {}))
    unknown = entry.get("unknown_tokens")
    if unknown is not None and unknown >= MANY_UNKNOWN:
        yield f"{unknown:.0f} % of the tokens are unknown to the tokenizer: is it the model's own?"
    if (told := repeats_said(entry)) is not None:
        yield f"{told}; {REPEATS}."


def repeats_said(entry: Mapping[str, Any]) -> str | None:
    """How many different texts a model read, by the manifest, where many are repeats; None otherwise."""
    found = entry.get("repeated", {"count": 0, "of": 1})
    if 100 * found["count"] < MANY_REPEATED * found["of"]:
        return None
    count, of = found["count"], found["of"]
    return f"{of - count:,} of {of:,} texts are different, {count:,} repeat{'s' * (count == 1)} one of them"


def repeats(manifests: Iterable[Manifest], datasets: Collection[str]) -> list[str]:
    """A sentence for each model and each of these data sets where many texts repeat others."""
    places = [each for manifest in manifests for each in manifest.get("models", {}).items()]
    told = [
        f"{entry['label']}, {label('dataset', data)}: {said}; {REPEATS}."
        for place, entry in places
        if (data := place.partition(" on ")[2]) in datasets and (said := repeats_said(entry)) is not None
    ]
    return list(dict.fromkeys(told))


def trained_as(models: Mapping[str, ModelEntry]) -> Iterator[str]:
    """The identities of a manifest's models, and of what was trained in the folders that some are from."""
    for place, entry in models.items():
        yield place.partition(" on ")[0]
        yield entry.get("training", {}).get("model", "")


def two_scales(models: Mapping[str, ModelEntry], datasets: Iterable[str]) -> Iterator[str]:
    """A sentence where B-cos classifiers of two classes stand beside models of another loss; nothing otherwise."""
    of_two = {place: entry for place, entry in models.items() if len(entry.get("class_names", ())) == 2}
    asked = [data for data in datasets if not is_of_documents(data)]  # of which metrics ask no probability
    if any({BCE, CE} <= {_loss(place, of_two[place]) for place in of_two if is_on(place, data)} for data in asked):
        yield (
            "B-cos models are trained with binary cross-entropy and read by a softmax, which of two classes doubles "
            "the margin that training made: what probability they lose is not on the scale of models trained with "
            "cross-entropy (docs/bcos.md). calibrated(…) of each model puts them on one scale."
        )


def _loss(place: str, entry: ModelEntry) -> str | None:
    """What a classifier was trained with, by its name; None where that does not tell."""
    model = entry.get("training", {}).get("model") or place
    if model.startswith("bcos-") and "qkv=" in model:
        return CE if "loss=ce" in model else BCE
    return CE if model.startswith("conv-") else None


def of_earlier_versions(records: pd.DataFrame) -> Iterator[str]:
    """A sentence on records that components as they are now would not give; nothing where there are none."""
    found = [
        f"{each.component} {label(each.component, each.identity)}, version {each.then} (now {each.now})"
        for each in earlier_versions(records)
    ]
    if found:
        yield f"Measured by earlier versions, whose numbers differ (CHANGELOG.md): {'; '.join(found)}."


def older_conversion(models: Iterable[str]) -> Iterator[str]:
    """A sentence on the B-cos models that keep the bias of their embeddings' LayerNorm; nothing where none does."""
    labels = sorted({label("model", model) for model in models})
    if names := [name for name in labels if "embedding_bias=True" in name and "biases=True" not in name]:
        yield (
            "Converted with the bias of the embeddings' LayerNorm kept, unlike the paper's, as all were before "
            f"there was embedding_bias (docs/bcos.md): {', '.join(names)}."
        )


def precision_said(asked: str, found: Precision) -> Iterator[str]:
    """What precisions that were tried do to scores, a sentence each.

    Args:
        asked: the precision of the plan, or `auto`.
        found: the manifest's.
    """
    for name, measured in found["measured"].items():
        used = name == found["dtype"]
        begin = f"dtype {asked} is {name}, which" if used and asked != name else name
        told = ", ".join(f"{MEASURES.get(of, 'Shapley values')} {_by(of, one, found)}" for of, one in measured.items())
        moved = f"{begin} moves scores of {found['texts']} texts against float32 (mean absolute; signed; most): {told}"
        if not used:
            yield f"{moved}: too much for dtype {asked}."
        elif is_above(found, name):
            yield f"{moved}: above {found['limit']:g} points, so do not compare with float32."
        else:
            yield f"{moved}."


def computed_in(fingerprints: Collection[str], manifests: Iterable[Manifest]) -> Iterator[str]:
    """A sentence on precisions of forward rows that records of such weights have; nothing where all are float32.

    It says the most that one of these models is moved by on a data set, so that a table needs one for all.
    """
    kept = (each for manifest in manifests for each in manifest.get("precision", {}).values())
    every = [found for each in kept for found in each.values()]
    for name in sorted({precision_of(fingerprint) for fingerprint in fingerprints} - {""}):
        weights = {weights_of(fingerprint) for fingerprint in fingerprints if precision_of(fingerprint) == name}
        most: dict[str, tuple[float, str]] = {}
        for found in (each for each in every if each["dtype"] == name and each["weights"] in weights):
            for of, moved in found["measured"].get(name, {}).items():
                said = f" {found['unit']} of {MEASURES[of]}" if of in MEASURES else " % of Shapley values"
                most[of] = max(most.get(of, (0.0, said)), (moved["absolute"], said))
        told = ", ".join(f"{size:.2g}{said}" for size, said in most.values())
        moves = f"; that moves a text by {told} at most, in the mean of a model's texts (docs/precision.md)"
        some = "Some rows" if len(weights) < len(set(map(weights_of, fingerprints))) else "Rows"
        yield f"{some} without some tokens were computed in {name}, not in float32{moves if told else ''}."


def is_above(found: Precision, name: str) -> bool:
    """Whether a precision moves a measure by more than the limit, in the mean of absolute differences."""
    limits = {"shapley": SHAPLEY_LIMIT * found["limit"]}
    if found["unit"] == "points":
        limits |= dict.fromkeys(MEASURES, found["limit"])
    return any(not one["absolute"] <= limits.get(of, math.inf) for of, one in found["measured"][name].items())


def _by(measure: str, moved: Moved, found: Precision) -> str:
    unit = f" {found['unit']}" if measure in MEASURES else " %"
    return f"{moved['absolute']:.2g}{unit} ({moved['mean']:+.1g}; {moved['largest']:.2g})"


def _weak(performance: Mapping[str, float]) -> str:
    texts = f"on {int(performance['labelled']):,} labelled text{'s' * (performance['labelled'] != 1)}"
    if "R²" not in performance:
        name = "accuracy" if "accuracy" in performance else "subset accuracy"
        return (
            f"its {name} of {performance[name]:.1f} % {texts} is not shown to be above chance "
            f"({performance['chance']:.1f} %)"
        )
    correlation = performance.get("correlation")
    also = f" (correlation {correlation:.2f}: perhaps on another scale)" if (correlation or 0) > 0.3 else ""
    return f"its R² of {performance['R²']:.2f} {texts} is not above 0, which the mean alone has{also}"

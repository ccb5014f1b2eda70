"""Runs by hand about neurons, with windows and descriptions kept, as a report and exports read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from records import record, run_of

from faithbench.records.kept_parts import add_kept
from faithbench.records.neuron_parts import KeptDescription, KeptNeuron, Shown, description_row, neuron_row
from faithbench.records.store import Store
from faithbench.types import Target

DATA = 'neurons(of="planted(train=20, validation=5, test=5)", per_layer=4, window=4)'
CELL = {"dataset": DATA, "dataset_fingerprint": "d", "model": "crate-tiny(seed=42)", "model_fingerprint": "m"}
TOPK, NGRAM = "token_topk(k=20)", "ngram(n=3)"
RANDOM_ONLY = "random_only(windows=200, seed=0)"
SITE = "model.layers.{}.mlp.act"
WORDS = ("the", " cat", " sat", "\n")


def unit_of(layer: int, number: int) -> str:
    return f"{SITE.format(layer)}:{number}"


def neuron_of(
    layer: int, number: int, words: Sequence[str] = WORDS, windows: int = 3, density: float = 0.25
) -> KeptNeuron:
    """One that fires at one word of each window, harder in the first; as many top windows as random ones."""
    fires = [2.0 * (place == number % len(words)) for place in range(len(words))]
    shown = tuple(
        Shown(tuple(words), tuple(value / (1 + i) for value in fires), f"{kind}-{i}", kind)
        for kind in ("top", "random")
        for i in range(windows)
    )
    site = SITE.format(layer)
    return KeptNeuron(unit_of(layer, number), layer, number, site, density, 0.5, 0.25, 2.0, 1000, shown)


def description_of(neuron: KeptNeuron, describer: str, text: str, bits: float = 100.0) -> KeptDescription:
    """One that predicts half of what there is at the first token, and the truth elsewhere."""
    simulated = tuple((each.activations[0] / 2, *each.activations[1:]) for each in neuron.windows)
    return KeptDescription(neuron.unit, describer, "1", text, bits, simulated)


def neuron_run(
    folder: Path,
    values: Mapping[str, np.ndarray] | None = None,
    text: str = "fires on {}",
    words: Sequence[str] = WORDS,
    windows: int = 3,
    is_kept: bool = True,
    **changes: object,
) -> Path:
    """A run of two layers with as many neurons each as half of the values; the first describer's are higher.

    Args:
        folder: of the run.
        values: of each describer, in the order of layers and numbers.
        text: of descriptions.
        words: tokens of each window.
        windows: top ones, and as many random ones.
        is_kept: whether windows and descriptions are.
        changes: of all records.
    """
    values = values or {TOPK: np.array([90.0, 70, 50, 30, 80, 60, 40, 20]), NGRAM: np.arange(8.0)}
    half = len(next(iter(values.values()))) // 2
    neurons = [neuron_of(layer, number, words, windows) for layer in (0, 1) for number in range(half)]
    fields = {**CELL, "metric": RANDOM_ONLY, "parts": (0.5, 0.4), **changes}
    records = [
        record(float(value), 0, **{**fields, "explainer": name, "unit": each.unit, "target": Target(each.layer)})
        for name, column in values.items()
        for each, value in zip(neurons, column, strict=True)
    ]
    run_of(folder, records)
    if is_kept:
        own = {name: str(fields[name]) for name in CELL}
        described = [description_of(each, name, text.format(each.number)) for each in neurons for name in values]
        add_kept(Store(folder), "neurons", [neuron_row(own, each) for each in neurons])
        add_kept(Store(folder), "descriptions", [description_row(own, each) for each in described])
    return folder

"""Ill-behaved explainers, metrics and models beside well-behaved ones: what the latter measure stays bit for bit."""

import sys
import textwrap

import pandas as pd
import pytest
from fixtures_run import DATA, add_distribution, call, checkpoint, trained_cache, use_cache

from faithbench.records.store import Store

HEAD = """
import os, sys, time
import numpy as np
import torch
from faithbench.questions import *
from faithbench.types import Attribution, Measurement, Target

def zeros(text, target):
    return Attribution(text.id, target, np.zeros(len(text)))

def whole(text):
    return np.ones((1, len(text)), dtype=bool)
"""
EXPLAINERS = {
    "writes_ids": "text.ids[:] = text.mask_id; return zeros(text, target)",
    "forces_ids": "text.ids.flags.writeable = True; text.ids[:] = text.mask_id; return zeros(text, target)",
    "mixes_precision": """
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode(), torch.device("meta"):
            yield Logits(text, whole(text))
        return zeros(text, target)""",
    "exits": "sys.exit(0)",
    "closes": "raise GeneratorExit",
    "stops": "raise StopIteration",
    "nothing": "return None",
    "wrong_text": "return Attribution('another', target, np.zeros(len(text)))",
    "wrong_length": "return Attribution(text.id, target, np.zeros(len(text) + 1))",
    "complex": "return Attribution(text.id, target, np.full(len(text), 1j))",
    "words": "return Attribution(text.id, target, ['a'] * len(text))",
    "infinite": "return Attribution(text.id, target, np.full(len(text), np.inf))",
    "bad_notes": r"return Attribution(text.id, target, np.zeros(len(text)), {'\x1b[31m': 1.0})",
    "long_error": r"raise ValueError('[red]' + 'x' * 100_000 + '\x1b[0m\n' * 100)",
    "unsayable": "raise Unsayable",
    "no_question": "yield 'what?'",
    "bad_fill": "yield Logits(text, np.zeros((1, len(text)), dtype=bool), fill=10**9); return zeros(text, target)",
    "bad_rules": "yield Gradients(text, target, rules='zoo:leave'); return zeros(text, target)",
    "inside_exits": "yield Inside(text, 'zoo:leave'); return zeros(text, target)",
    "inside_trains": "yield Inside(text, 'zoo:train'); return zeros(text, target)",
}
HARMLESS = {  # what they change is their own, or is put back
    "writes_answers": """
        logits, found = yield Logits(text, whole(text)), Gradients(text, target)
        logits[:] = 0
        found.gradient[:] = 0
        return zeros(text, target)""",
    "writes_attention": "found = yield Attentions(text); found[:] = 0; return zeros(text, target)",
    "no_grad": """
        with torch.no_grad():
            yield Logits(text, whole(text))
            torch.set_default_dtype(torch.float64); np.seterr(all='raise'); os.chdir('/')
            yield Logits(text, whole(text))
        return zeros(text, target)""",
    "inside_writes": """
        found = yield Inside(text, 'zoo:shared'); found.append(len(found))
        return Attribution(text.id, target, np.full(len(text), float(len(found))))""",
    "writes_through_torch": """
        torch.from_numpy(text.ids).zero_()
        (logits, found) = yield Logits(text, whole(text)), Gradients(text, target)
        torch.from_numpy(found.gradient).zero_()
        return zeros(text, target)""",
    "reseeds": "np.random.seed(0); torch.manual_seed(0); return zeros(text, target)",
}
METRICS = {
    "writes_scores": "attribution.scores[:] = 0; return Measurement(0.0)",
    "number": "return 0.5",
    "text": "return Measurement('good')",
    "boundless": "return Measurement(float('inf'))",
    "negative": "return Measurement(0.0, weight=-1.0)",
    "endless_parts": "return Measurement(0.0, parts=iter(int, 1))",
    "ends_all": "raise SystemExit(3)",
    "asks_nonsense": "yield Explain(text, Target(10**9)); return Measurement(0.0)",
}
HARMLESS_METRICS = {
    "writes_notes": "attribution.notes['planted'] = 1.0; return Measurement(0.0)",
    "zeroes_through_torch": "torch.from_numpy(attribution.scores).abs_().zero_(); return Measurement(0.0)",
}
TAIL = """
class Unsayable(Exception):
    def __str__(self):
        raise RuntimeError("no words")

def leave(*arguments):
    sys.exit(0)

def train(model, text):
    model.model.train()
    for weight in model.model.parameters():
        weight.requires_grad_(False)
    model.model.register_forward_hook(lambda *args: args[-1])

def shared(model, text):
    return SHARED

SHARED = []

def scribble(model, text):
    with torch.no_grad():
        next(model.model.parameters()).data.mul_(2)

def blank(model, text):
    with torch.no_grad():
        list(model.model.parameters())[1][3] = 0
"""
MODELS = {
    "exits": "raise SystemExit(0)",
    "nothing": "return None",
    "no-counts": "return Wrapped(self.load(), classes='three')",
    "no-fingerprint": "return Wrapped(self.load(), fingerprint=lambda: 1 / 0)",
    "nan": "return Wrapped(self.load(), logits=lambda rows: np.full((len(rows), 2), np.nan))",
    "too-many": "return Wrapped(self.load(), logits=lambda rows: np.zeros((len(rows), 5)))",
    "too-few-rows": "return Wrapped(self.load(), logits=lambda rows: np.zeros((0, 2)))",
    "no-array": "return Wrapped(self.load(), logits=lambda rows: 'logits')",
    "leaves": "return Wrapped(self.load(), logits=lambda rows: sys.exit(0))",
    "no-targets": "return Wrapped(self.load(), task=Taskless())",
}
WRAPPED = """
from faithbench.training.loading import load_classifier

class Wrapped:
    def __init__(self, inner, **changed):
        self.__dict__ |= {"inner": inner} | changed
    def __getattr__(self, name):
        return getattr(self.__dict__["inner"], name)

class Taskless:
    read, link = "first", "softmax"
    def targets(self, text):
        return ()
        yield

class Base:
    def load(self):
        return load_classifier(PATH, "cpu", "float32").classifier
"""
GOOD = ("occlusion", "saliency", "integrated_gradients(n_steps=4)", "attention", "decompx", "lime(n_samples=20)")
MEASURES = ("comprehensiveness", "sufficiency", "entropy", "infidelity")
KEYS = ["model", "explainer", "metric", "unit", "target"]
FAILING = [f"bad_{name}" for name in EXPLAINERS]
BAD = [*FAILING, *(f"bad_{name}" for name in HARMLESS)]
ODD = [f"bad_{name}" for name in METRICS | HARMLESS_METRICS]


def component(name, body, arguments):
    body = textwrap.indent(textwrap.dedent(body).strip(), "        ")
    return f"class {name}:\n    def __call__(self, text, {arguments}):\n{body}\n"


def zoo(folder):
    """Installs all of them, each under its name with `bad_` before it."""
    explainers, metrics = EXPLAINERS | HARMLESS, METRICS | HARMLESS_METRICS
    source = HEAD + "".join(component(name, body, "target") for name, body in explainers.items())
    source += "".join(component(name, body, "attribution") for name, body in metrics.items()) + TAIL
    points = {
        "explainers": {f"bad_{name}": f"zoo:{name}" for name in explainers},
        "metrics": {f"bad_{name}": f"zoo:{name}" for name in metrics},
    }
    return add_distribution(folder, "zoo", points, {"zoo": source})


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with the zoo installed and models that are there."""
    use_cache(monkeypatch, trained_cache())
    monkeypatch.syspath_prepend(str(zoo(tmp_path / "packages")))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for module in ("zoo", "others"):
        sys.modules.pop(module, None)


def install(place, monkeypatch, source, points):
    monkeypatch.syspath_prepend(str(add_distribution(place / "others", "others", points, {"others": source})))


def command(folder, explainers, metrics, *more):
    named = [part for name in explainers for part in ("--explainer", name)]
    named += [part for name in metrics for part in ("--metric", name)]
    return ["run", "--model", str(checkpoint()), "--dataset", DATA, "--limit", "3", "--out", folder, *named, *more]


def measured(folder, explainers=GOOD, metrics=MEASURES):
    """What well-behaved explainers and metrics measured, without times."""
    frame = Store(folder).read("records")
    names = frame["explainer"].str.partition("(")[0].isin([name.partition("(")[0] for name in explainers])
    names &= frame["metric"].str.partition("(")[0].isin(metrics)
    return frame[names][[*KEYS, "value", "weight", "error"]].sort_values(KEYS).reset_index(drop=True)


def stored(folder, explainers):
    frame = Store(folder).read("attributions")
    rows = frame[frame["explainer"].isin(explainers)].sort_values(["explainer", "text_id"]).itertuples()
    return [(row.explainer, row.text_id, row.notes, row.scores.tolist()) for row in rows]


def test_others_are_measured_bit_for_bit_as_without_them(place, capsys):
    """None of these asks for rows that nobody else asks for: such would change batches, and so the last digits."""
    alone = call(capsys, *command(place / "alone", GOOD, MEASURES))
    assert alone.status == 0, alone.err
    ended = call(capsys, *command(place / "zoo", [*GOOD, *FAILING], [*MEASURES, *ODD], "--timeout", "60"))
    assert ended.status == 1
    assert "Traceback" not in ended.err
    assert "\x1b[31m" not in ended.err + ended.out
    sound = measured(place / "alone")
    assert len(sound) == 3 * len(GOOD) * len(MEASURES)
    pd.testing.assert_frame_equal(measured(place / "zoo"), sound, check_exact=True)
    names = list(Store(place / "alone").read("attributions")["explainer"].unique())
    assert stored(place / "zoo", names) == stored(place / "alone", names)


def test_others_are_measured_alike_beside_what_succeeds_and_leaves_a_mess(place, capsys):
    call(capsys, *command(place / "alone", GOOD, MEASURES))
    call(capsys, *command(place / "zoo", [*BAD, *GOOD], [*ODD, *MEASURES]))
    pd.testing.assert_frame_equal(measured(place / "zoo"), measured(place / "alone"), rtol=1e-4, atol=1e-4)


def test_each_of_them_fails_its_own_cells_with_a_short_sentence(place, capsys):
    call(capsys, *command(place / "zoo", [*BAD, "random"], [*ODD, "entropy"]))
    frame = Store(place / "zoo").read("records")
    frame["failed"] = frame["error"].notna()
    by_explainer = frame[frame["metric"].str.startswith("entropy")].groupby("explainer")["failed"]
    failing = {name.partition("(")[0] for name, failed in by_explainer if failed.all()}
    assert failing == {f"bad_{name}" for name in EXPLAINERS}
    by_metric = frame[frame["explainer"].str.startswith("random")].groupby("metric")["failed"]
    assert {name for name, failed in by_metric if failed.all()} == {f"bad_{name}" for name in METRICS}
    errors = frame["error"].dropna()
    assert errors.str.len().max() < 400
    assert not errors.str.contains("\n").any()


@pytest.mark.parametrize("deed", ["scribble", "blank"])
def test_a_run_ends_where_a_component_writes_into_the_weights(deed, place, capsys, monkeypatch):
    source = HEAD + component("vandal", f"yield Inside(text, 'others:{deed}'); return zeros(text, target)", "target")
    install(place, monkeypatch, source + TAIL, {"explainers": {"vandal": "others:vandal"}})
    ended = call(capsys, *command(place / "run", ["random", "vandal"], ["entropy"]))
    assert ended.status == 2
    assert len(ended.complaints) == 1
    assert "written into the model's weights" in ended.complaints[0]


def test_a_component_that_takes_too_long_fails_its_cell(place, capsys, monkeypatch):
    source = HEAD + component("sleeper", "time.sleep(60); return zeros(text, target)", "target")
    source += component("asleep", "yield Inside(text, 'others:doze'); return zeros(text, target)", "target")
    source += "\ndef doze(model, text):\n    while True: pass\n"
    points = {"explainers": {"sleeper": "others:sleeper", "asleep": "others:asleep"}}
    install(place, monkeypatch, source, points)
    limited = ["--timeout", "0.4"]
    ended = call(capsys, *command(place / "run", ["random", "sleeper", "asleep"], ["entropy"], *limited))
    assert ended.status == 1
    errors = Store(place / "run").read("records").set_index("explainer")["error"]
    assert errors[errors.index.str.startswith("random")].isna().all()
    for name in ("sleeper", "asleep"):
        assert errors[name].str.contains("it took longer than 0.4 seconds").all()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_fails_fails_its_cells_and_another_goes_on(name, place, capsys, monkeypatch):
    source = HEAD + WRAPPED + f"PATH = {str(checkpoint())!r}\n"
    source += f"class Brute(Base):\n    def prepare(self, dataset, device, dtype):\n        {MODELS[name]}\n"
    install(place, monkeypatch, source, {"models": {"brute": "others:Brute"}})
    call(capsys, *command(place / "alone", ["occlusion"], ["entropy"]))
    both = command(place / "both", ["occlusion"], ["entropy"], "--model", "brute")
    ended = call(capsys, *both)
    assert ended.status == 1, ended.err
    assert "Traceback" not in ended.err
    assert "brute" in ended.err
    frame = measured(place / "both", ["occlusion"], ["entropy"])
    own = frame[frame["model"] != "brute"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, measured(place / "alone", ["occlusion"], ["entropy"]), check_exact=True)
    assert frame[frame["model"] == "brute"]["error"].notna().all()


def test_a_model_that_reads_no_text_is_told_in_one_sentence(place, capsys, monkeypatch):
    source = HEAD + WRAPPED + f"PATH = {str(checkpoint())!r}\n"
    source += "class Brute(Base):\n    def prepare(self, dataset, device, dtype):\n"
    source += "        return Wrapped(self.load(), encode=lambda example: example)\n"
    install(place, monkeypatch, source, {"models": {"brute": "others:Brute"}})
    arguments = command(place / "run", ["occlusion"], ["entropy"])
    arguments[2] = "brute"
    ended = call(capsys, *arguments)
    assert (ended.status, len(ended.complaints)) == (2, 1)
    assert "reads it as a Example" in ended.complaints[0] or "not as a Text" in ended.complaints[0]

"""A report about neurons: chosen by rule, with the table's numbers, in bounded room; words from outside stay words."""

import re
from pathlib import Path

import numpy as np
import pytest
from fixtures_run import call
from hostile_words import OBEYED, WORDS
from kept_neurons import NGRAM, RANDOM_ONLY, TOPK, neuron_run, unit_of
from records import run_of
from reports import records_of, values_of

import faithbench
from faithbench.errors import UserError
from faithbench.records.store import Store
from faithbench.reporting import neuron_section
from faithbench.reporting.neurons import control_of, percent, ranked
from faithbench.reporting.report import contents
from faithbench.tables.comparing_neurons import leading_score
from faithbench.tables.table import table

CONSTANT = "constant"
PERMUTED, FITTED = f'permuted(score="{RANDOM_ONLY}", seed=0)', f'fitted(score="{RANDOM_ONLY}")'


def section_of(*folders: Path):
    (section,) = contents(folders).sections
    return section


def written(folder: Path) -> str:
    return faithbench.report([folder], folder / "report.html").read_text(encoding="utf-8")


def add_scores(folder: Path, metric: str, values: dict[str, np.ndarray]) -> Path:
    return neuron_run(folder, values, is_kept=False, metric=metric)


@pytest.mark.parametrize("whole", [1, 2, 3, 10, 33])
@pytest.mark.parametrize("most", [3, 5, 15])
def test_the_best_the_median_and_the_worst_of_each_layer_are_chosen(whole: int, most: int):
    draws = np.random.default_rng(0)
    layers = {f"{layer}:{number}": layer for layer in (0, 2) for number in range(whole)}
    values = {unit: float(draws.normal()) for unit in layers}
    values["2:0"] = np.nan
    found = dict(ranked(values, layers, most))
    for layer in (0, 2):
        known = sorted(values[unit] for unit in layers if layers[unit] == layer and np.isfinite(values[unit]))
        chosen = [values[unit] for unit in found if layers[unit] == layer and np.isfinite(values[unit])]
        assert len(chosen) == min(most, len(known))
        if known:
            assert chosen == sorted(chosen, reverse=True)
            assert {known[0], known[-1]} <= set(chosen)
            assert {known[(len(known) - 1) // 2], known[len(known) // 2]} & set(chosen)


def test_scores_of_random_windows_lead_and_controls_never_do():
    others = "top_and_random(windows=5, seed=0)", "quantile(form=pearson, seed=0)"
    assert leading_score([PERMUTED, *others, RANDOM_ONLY, FITTED]) == RANDOM_ONLY
    assert leading_score([PERMUTED, FITTED]) is None
    assert control_of(PERMUTED) == ("permuted", RANDOM_ONLY)
    assert control_of(RANDOM_ONLY) == ("", "")


def test_a_section_has_the_tables_numbers(tmp_path: Path):
    draws = np.random.default_rng(0)
    values = {TOPK: draws.uniform(40, 90, 40), NGRAM: draws.uniform(10, 50, 40), CONSTANT: np.full(40, np.nan)}
    run = neuron_run(tmp_path / "run", values)
    section, rows = section_of(run), table([run])
    means = rows.set_index("explainer")["mean"]
    assert [each.row.name for each in section.describers] == [TOPK, NGRAM]
    for each in section.describers:
        assert each.row.value == pytest.approx(means[each.row.name])
        assert each.row.value == pytest.approx(values[each.row.name].mean())
    assert section.undefined == (CONSTANT,)
    for layer, place in ((0, slice(0, 20)), (1, slice(20, 40))):
        found = section.layers[layer]
        assert found.layer == layer
        assert [value for _, value in found.means] == pytest.approx(
            [values[name][place].mean() for name in (TOPK, NGRAM)]
        )
        assert (found.neurons, found.silent, found.density, found.active) == ("20", "0", "25.0 %", "–")
    assert section.headline.startswith("token_topk predicts activations best (random_only ")
    assert "ngram" in section.rest
    assert "is behind" in section.rest


def test_undefined_scores_are_counted_in_each_layer(tmp_path: Path):
    section = section_of(neuron_run(tmp_path / "run", {TOPK: np.array([10.0, np.nan, 30, 20, np.nan, np.nan, 40, 50])}))
    assert [layer.means[0][1] for layer in section.layers] == pytest.approx([20, 45])
    assert "(1 undefined)" in section.layers[0].means[0][0]
    assert "(2 undefined)" in section.layers[1].means[0][0]
    (badge,) = (each for each in section.badges if each.name == "undefined")
    assert (badge.state, badge.text[:6]) == ("doubt", "3 of 8")


def test_describers_that_do_not_differ_are_not_ranked(tmp_path: Path):
    draws = np.random.default_rng(0)
    common = draws.uniform(20, 90, 40)
    values = {name: common + draws.normal(0, 5, 40) for name in (TOPK, NGRAM)}
    headline = section_of(neuron_run(tmp_path / "run", values)).headline
    assert "not shown to differ" in headline


@pytest.mark.parametrize(("level", "state"), [(0.0, "holds"), (30.0, "doubt")])
def test_controls_are_said(tmp_path: Path, level: float, state: str):
    draws = np.random.default_rng(0)
    values = {TOPK: draws.uniform(40, 90, 40)}
    run = neuron_run(tmp_path / "run", values)
    add_scores(run, PERMUTED, {TOPK: draws.normal(level, 0.1, 40)})
    add_scores(run, FITTED, {TOPK: values[TOPK] + 7})
    badges = {each.name: each for each in section_of(run).badges}
    assert badges["activations permuted"].state == state
    assert "up to 7.0 higher" in badges["leak"].text


def test_what_the_manifest_says_of_sites_stands_with_layers(tmp_path: Path):
    run = neuron_run(tmp_path / "run")
    sites = [
        {"name": "a", "layer": 0, "chosen": 4, "alive": 3, "units": 1000, "l0": 12.5, "density": 0.0125},
        {"name": "b", "layer": 1, "chosen": 4, "alive": 4},
    ]
    units = {"documents": 9, "tokens": 99, "sites": sites, "loss": 2.5}
    Store(run).change_manifest(lambda manifest: [each.update(units=units) for each in manifest["models"].values()])
    section = section_of(run)
    assert [layer.active for layer in section.layers] == ["12.5 of 1,000", "–"]
    badges = {each.name: each for each in section.badges}
    assert badges["never active"].text == "1 of 8 neurons"
    assert "2.50 nats" in badges["model's loss"].text


def test_the_page_shows_windows_descriptions_and_scores(tmp_path: Path):
    text = written(neuron_run(tmp_path / "run", text="says {} of it"))
    assert re.findall(r'data-id="([^"]*)"', text) == [unit_of(n // 4, n % 4) for n in range(8)]
    assert text.count('class="fb-stack"') == 8 * 6
    assert all(f"says {number} of it" in text for number in range(4))
    assert "which description can be believed" in text
    for word in ("explainer", "texts one by one", "Mean curves", "whom to trust"):
        assert word not in text.partition("<h1")[2].partition('<section id="about"')[0].lower()


def test_controls_stand_below_the_models_and_those_that_lack_are_named(tmp_path: Path):
    text = written(neuron_run(tmp_path / "run"))
    controls = text[text.index('<section id="controls">') : text.index('<section id="about">')]
    assert "Controls that these runs do not have: random weights" in controls
    assert "sae(crate-tiny)" in controls


def test_a_run_without_kept_neurons_has_tables_alone(tmp_path: Path):
    text = written(neuron_run(tmp_path / "run", is_kept=False))
    assert "there are tables alone" in text
    assert '<details class="text neuron"' not in text
    assert "token_topk" in text


def test_texts_and_neurons_may_stand_in_one_report(tmp_path: Path):
    run_of(tmp_path / "texts", records_of(values_of(12, occlusion=20.0, saliency=10.0)))
    sections = contents([tmp_path / "texts", neuron_run(tmp_path / "neurons")]).sections
    assert sorted(each.about_neurons for each in sections) == [False, True]


def test_room_is_bounded_and_the_page_says_so(tmp_path: Path, monkeypatch):
    draws = np.random.default_rng(0)
    values = {f"token_topk(k={k})": draws.uniform(0, 90, 60) for k in (1, 2)}
    run = neuron_run(tmp_path / "run", values, windows=5)
    whole = section_of(run)
    assert (len(whole.neurons), whole.is_shortened) == (30, False)
    room = sum(len(each.top) + len(each.random) for each in whole.neurons)
    for share, shown, is_shortened in ((0.4, 10, False), (0.1, 6, True)):
        monkeypatch.setattr(neuron_section, "ROOM", share * room)
        section = section_of(run)
        assert (len(section.neurons), section.is_shortened) == (shown, is_shortened)
        assert sum(len(each.top) + len(each.random) for each in section.neurons) <= 1.1 * share * room
    assert "Fewer windows of each are here" in written(run)


def test_words_from_outside_are_shown_and_not_obeyed(tmp_path: Path, capsys):
    run = neuron_run(
        tmp_path / "run",
        {WORDS["html"]: np.arange(8.0), TOPK: np.arange(8.0) * 2},
        text="".join(WORDS.values()).replace("{", "{{").replace("}", "}}"),
        words=tuple(WORDS.values()),
    )
    text = written(run)
    assert text.count("<script") == 1
    assert "<script>alert" not in text
    assert not OBEYED.search(text.replace("\n", ""))
    page = faithbench.neuron(run)
    assert "<script" not in page.html()
    assert not OBEYED.search(page.html().replace("\n", ""))
    assert not OBEYED.search(str(page).replace("\n", ""))
    assert not OBEYED.search(call(capsys, "neuron", run).out.replace("\n", ""))


def test_a_neuron_shows_itself(tmp_path: Path):
    run = neuron_run(tmp_path / "run", text="says {}")
    assert len(faithbench.neuron(run)) == 6
    (found,) = faithbench.neuron(run, "1:2")
    assert found.unit == unit_of(1, 2)
    assert found.descriptions == {"token_topk": "says 2", "ngram": "says 2"}
    assert found.scores.loc["token_topk", "random_only"] == 40
    assert len(found.windows) == 6
    shown = str(found)
    for word in ("says 2", "100 bits", "random_only 40.0", "25.0 %", "Top windows", "activation"):
        assert word in shown
    assert "fb-stack" in found._repr_html_()
    for name in ("one.html", "one.json", "one.svg"):
        assert found.save(tmp_path / name).stat().st_size


def test_a_neuron_of_an_older_run_says_what_is_lacking(tmp_path: Path):
    (found,) = faithbench.neuron(neuron_run(tmp_path / "run", is_kept=False), unit_of(0, 1))
    assert "has not kept" in str(found)
    assert "random_only 70.0" in str(found)


def test_mistakes_are_named(tmp_path: Path):
    run = neuron_run(tmp_path / "run")
    with pytest.raises(UserError, match="'0:99' is not a known neuron"):
        faithbench.neuron(run, "0:99")
    with pytest.raises(UserError, match="not a known model of the run"):
        faithbench.neuron(run, model="gpt")
    run_of(tmp_path / "texts", records_of(values_of(12, occlusion=20.0)))
    with pytest.raises(UserError, match="has no neurons"):
        faithbench.neuron(tmp_path / "texts")


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0 %"), (1, "100 %"), (1e-7, "less than 0.01 %"), (0.99999, "more than 99.99 %"), (0.25, "25.0 %")],
)
def test_a_share_is_never_nothing_or_all_unless_it_is(share: float, said: str):
    assert re.sub(r"\.0+ ", " ", percent(share)) == re.sub(r"\.0+ ", " ", said)

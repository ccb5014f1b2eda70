"""captum, shap and lime through faithbench: against our own explainers, enumeration, and a linear model."""

import itertools
import os
import subprocess
import sys
from functools import partial
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, random_texts, shared_classifier, text
from faithbench_explainers.bridges.shap import halves
from faithbench_explainers.captum import Captum
from faithbench_explainers.input_x_gradient import InputXGradient
from faithbench_explainers.integrated_gradients import IntegratedGradients
from faithbench_explainers.lime import LIME
from faithbench_explainers.lime_package import LimePackage
from faithbench_explainers.occlusion import Occlusion
from faithbench_explainers.saliency import Saliency
from faithbench_explainers.shap import Shap
from scipy import stats
from scipy.cluster import hierarchy
from sklearn.linear_model import Ridge

from faithbench.conformance.explainers import (
    EXPLAINER_CLAUSES,
    ExplainerTrial,
    explains_alike_again,
    explains_alike_in_any_batch,
)
from faithbench.plugins import spec
from faithbench.questions import Row

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # shap's loops take longer to compile than to run, for so few tokens
MODELS = pytest.mark.parametrize(("kind", "b"), [(kind, b) for kind in KINDS for b in (None, 1.5)])
SAME = [  # where the bound is wide, captum computes its weights in float32
    (Captum("FeatureAblation"), Occlusion(), 1e-10),
    (Captum("FeatureAblation", over="embeddings"), Occlusion(), 1e-10),
    (Captum("Occlusion(sliding_window_shapes=(1,))"), Occlusion(), 1e-5),
    (Captum("Saliency"), Saliency(), 1e-10),
    (Captum("InputXGradient"), InputXGradient(), 1e-10),
    (Captum("IntegratedGradients(n_steps=2)"), IntegratedGradients(n_steps=2), 1e-10),  # weights of 1/2
    (Captum("IntegratedGradients"), IntegratedGradients(), 1e-7),
    (Captum("IntegratedGradients(n_steps=7, internal_batch_size=3)"), IntegratedGradients(n_steps=7), 1e-7),
]
SEEDED = [
    "captum GradientShap(n_samples=3, stdevs=0.1)",
    "captum KernelShap(n_samples=12)",
    "captum Lime(n_samples=20)",
    "captum ShapleyValueSampling(n_samples=2)",
    "shap Permutation(max_evals=50)",
    "lime num_samples=60",
]
FIXED = ["captum FeatureAblation", "captum IntegratedGradients(n_steps=2)", "shap Partition"]
ADDITIVE = [  # exact for models that are sums over tokens
    "captum FeatureAblation",
    "captum KernelShap(n_samples=40)",
    "captum ShapleyValueSampling(n_samples=2)",
    "shap Exact",
    "shap Partition",
    "shap Permutation(max_evals=30)",
]
ENTRY = EntryPoint(name="captum", value="faithbench_explainers.captum:Captum", group="faithbench.explainers")
PACKAGES = {"captum": lambda: Captum("Saliency"), "shap": lambda: Shap("Exact"), "lime": LimePackage}


def explainer(described, **options):
    """From a library's name and what is asked of it; skips the test where only some people have the library."""
    name, _, asked = described.partition(" ")
    pytest.importorskip(name)
    if name == "lime":
        return LimePackage(num_samples=int(asked.split("=")[1]), **options)
    return {"captum": Captum, "shap": Shap}[name](asked, **options)


def largest(values):
    return np.abs(values).max()


def tiny(lengths=(5, 1, 9), **options):
    classifier = shared_classifier(classes=3, dtype=torch.float64, **{"kind": "bert", "bcos_b": 1.5, **options})
    return classifier, random_texts(classifier, lengths)


def worth(classifier, one, target):
    """The target's logit for every set of content tokens, others replaced by the mask token, one row at a time."""
    found = {}
    for size in range(len(one.content) + 1):
        for members in itertools.combinations(one.content.tolist(), size):
            row = np.where(one.special, one.ids, one.mask_id)
            row[list(members)] = one.ids[list(members)]
            found[members] = float(classifier.logits([Row(row)])[0, target])
    return found


def averaged(one, values, orders):
    """Each token's mean change of the value when it joins those before it in an order."""
    scores = np.zeros(len(one))
    for order in orders:
        for place, token in enumerate(order):
            before = tuple(sorted(order[:place]))
            after = tuple(sorted(order[: place + 1]))
            scores[token] += (values[after] - values[before]) / len(orders)
    return scores


def shapley(classifier, one, target):
    return averaged(one, worth(classifier, one, target), list(itertools.permutations(one.content.tolist())))


def orders_of_halves(tokens):
    """All orders in which, at every level, one half of the neighbours comes before the other."""
    if len(tokens) == 1:
        return [tokens]
    middle = (len(tokens) + 1) // 2
    pairs = list(itertools.product(orders_of_halves(tokens[:middle]), orders_of_halves(tokens[middle:])))
    return [a + b for a, b in pairs] + [b + a for a, b in pairs]


class Curved(LinearModel):
    """A linear model behind a sine: tokens interact, and rows cost nothing."""

    def logits(self, rows):
        return np.sin(super().logits(rows))


class Watched:
    """A classifier that keeps the rows that it answers, and has memory for only so many at once."""

    def __init__(self, inner, memory=10**6, batch_tokens=64):
        self.inner, self.memory, self.batch_tokens, self.gradient_cost = inner, memory, batch_tokens, 1
        self.classes, self.batches = inner.classes, []

    def logits(self, rows):
        if len(rows) > self.memory:
            raise MemoryError
        self.batches.append(np.array([row.ids for row in rows]))
        return self.inner.logits(rows)


@pytest.mark.slow
@MODELS
@pytest.mark.parametrize(("theirs", "ours", "bound"), SAME, ids=lambda value: getattr(value, "method", ""))
def test_captum_gives_what_our_own_explainer_gives(kind, b, theirs, ours, bound):
    classifier, texts = tiny((4, 1, 7), kind=kind, bcos_b=b)
    for target, one in enumerate(texts):
        expected = answers(classifier, ours(one, target)).scores
        found = answers(classifier, theirs(one, target)).scores
        assert largest(found - expected) <= bound * largest(expected)


def test_captums_windows_are_ours():
    classifier, (one,) = tiny((6,))
    theirs = answers(classifier, Captum("Occlusion(sliding_window_shapes=(3,))")(one, 1)).scores
    ours = answers(classifier, Occlusion(window=3)(one, 1)).scores
    assert largest(theirs - ours) <= 1e-5 * largest(ours)


def test_parameters_reach_captums_constructor_and_its_method():
    classifier, (one,) = tiny((6,))
    signed = answers(classifier, Captum("Saliency(abs=False)")(one, 1)).scores
    slope = answers(classifier, Captum("IntegratedGradients(multiply_by_inputs=False, n_steps=1)")(one, 1)).scores
    assert largest(signed) < largest(answers(classifier, Saliency()(one, 1)).scores)
    assert (signed < 0).any()
    assert largest(slope - answers(classifier, IntegratedGradients(n_steps=1)(one, 1)).scores) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("described", "bound"),
    [
        ("captum ShapleyValues", 1e-5),
        ("captum ShapleyValueSampling(n_samples=500)", 0.03),
        ("captum KernelShap(n_samples=500)", 0.05),
        ("shap Exact", 1e-10),
        ("shap Permutation(max_evals=5000)", 0.03),
    ],
)
def test_shapley_values_are_those_of_all_orders(described, bound):
    model, one = Curved.random(), text([1, 5, 6, 7, 8, 9, 1])
    expected = shapley(model, one, 2)
    found = answers(model, explainer(described)(one, 2)).scores
    assert 0 < largest(found - expected) <= bound * largest(expected)


@pytest.mark.parametrize("length", [2, 3, 5, 6])
def test_shaps_partition_averages_over_the_orders_of_its_tree(length):
    model, one = Curved.random(), text([1, *range(5, 5 + length), 1])
    orders = orders_of_halves(one.content.tolist())
    expected = averaged(one, worth(model, one, 1), orders)
    found = answers(model, explainer("shap Partition")(one, 1)).scores
    assert largest(found - expected) <= 1e-10 * largest(expected)


def test_tree_of_neighbours_is_halved_at_every_node():
    for leaves in (2, 3, 7, 12, 40):
        tree = halves(leaves)
        below = {leaf: [leaf] for leaf in range(leaves)}
        for node, (left, right, _, count) in enumerate(tree):
            below[leaves + node] = below[left] + below[right]
            assert len(below[left]) - len(below[right]) in (0, 1)
            assert below[leaves + node] == list(range(below[left][0], below[left][0] + int(count)))
        assert hierarchy.is_valid_linkage(tree)
        assert below[2 * leaves - 2] == list(range(leaves))


@pytest.mark.parametrize("described", ADDITIVE)
def test_scores_of_a_linear_model_in_closed_form(described):
    model, one = LinearModel.random(), text([1, 5, 6, 7, 5, 11, 1])
    gains = (model.table[one.ids] - model.table[one.mask_id]) @ model.weights[:, 2]
    found = answers(model, explainer(described)(one, 2)).scores
    np.testing.assert_allclose(found, np.where(one.special, 0, gains), atol=1e-5)


def test_captums_lime_counts_tokens_and_not_their_ids():
    model, one = LinearModel.random(), text([1, 5, 6, 7, 8, 1])
    renamed = LinearModel(model.weights, np.concatenate([model.table, model.table[:8] * 0, model.table]), model.bias)
    other = text([1, 25, 26, 7, 8, 1])  # the ids 20 to 31 mean what 0 to 11 mean
    ask = Captum("Lime(n_samples=50)")
    found = answers(model, ask(one, 1)).scores
    np.testing.assert_array_equal(answers(renamed, ask(other, 1)).scores, found)
    assert largest(found) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("selection", ["none", "auto", "forward_selection", "highest_weights", "lasso_path"])
def test_lime_package_is_the_ridge_regression_of_what_the_model_was_asked(selection):
    explained = explainer("lime num_samples=300", feature_selection=selection, num_features=3, kernel_width=10.0)
    classifier, (one,) = tiny((7,))
    watched = Watched(classifier)
    scores = answers(watched, explained(one, 1)).scores
    rows = np.concatenate(watched.batches)
    masks = (rows == one.ids)[:, one.content]  # no word of the texts is the mask token
    values = np.exp(classifier.logits([Row(row) for row in rows]))
    values = values[:, 1] / values.sum(axis=1)
    distance = 100 * (1 - np.sqrt(masks.mean(axis=1)))
    chosen = np.flatnonzero(scores[one.content])
    ridge = Ridge(alpha=1).fit(masks[:, chosen], values, sample_weight=np.sqrt(np.exp(-((distance / 10) ** 2))))
    assert (rows[:, one.special] == one.ids[one.special]).all()
    assert (len(rows), len(chosen)) == (300, {"none": 7}.get(selection, 3))
    assert largest(scores[one.content][chosen] - ridge.coef_) <= 1e-10
    if selection != "lasso_path":
        ours = LIME(feature_selection=selection, num_features=3, kernel_width=10.0).coefficients(masks, values)
        assert largest(scores[one.content] - ours) <= 1e-10


def test_lime_package_agrees_with_our_lime_on_other_masks():
    weights = [0.0, 0.1, 0.9, -0.6, 0.3, -0.2, 0.05, 1.4, -1.1, 0.7]
    model, one = LinearModel.binary(weights), text([1, *range(2, 10), 1])
    theirs = answers(model, explainer("lime num_samples=3000")(one, 1)).scores
    ours = answers(model, LIME(n_samples=2999, feature_selection="auto")(one, 1)).scores
    assert stats.spearmanr(theirs, np.where(one.special, 0, np.array(weights)[one.ids])).statistic > 0.99
    assert 0 < largest(theirs - ours) < 0.05 * largest(ours)


@pytest.mark.slow
@pytest.mark.parametrize("described", SEEDED)
def test_scores_depend_on_no_global_generator_and_leave_all_as_they_were(described):
    classifier, (one, _, other) = tiny()
    ask = explainer(described)
    expected = answers(classifier, ask(one, 1)).scores
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = np.random.get_state(), torch.get_rng_state()
        answers(classifier, ask(other, 0))
        np.testing.assert_array_equal(answers(classifier, ask(one, 1)).scores, expected)
        np.testing.assert_equal(np.random.get_state(), before[0])
        assert (torch.get_rng_state() == before[1]).all()


def over_embeddings(described):
    return "GradientShap" in described or "IntegratedGradients" in described


@pytest.mark.slow
@pytest.mark.parametrize("described", [*SEEDED, *FIXED])
def test_wrapped_explainers_keep_the_contract(described):
    classifier, texts = tiny((4, 1))
    left_out = (
        [explains_alike_in_any_batch] * over_embeddings(described)  # one text at a time; its check hides the model
        + [explains_alike_again] * (described in FIXED)  # the seed of what draws nothing has no effect
    )
    trial = ExplainerTrial(explainer(described), classifier, texts)
    for clause in EXPLAINER_CLAUSES:
        assert clause in left_out or clause(trial) is None


@pytest.mark.parametrize("described", ["captum KernelShap(n_samples=30)", "shap Exact", "shap Partition"])
def test_one_token_gets_the_whole_difference(described):
    classifier, (one,) = tiny((1,))
    expected = answers(classifier, Occlusion()(one, 2)).scores
    np.testing.assert_allclose(answers(classifier, explainer(described)(one, 2)).scores, expected, rtol=1e-12)
    if described.startswith("captum"):
        within = answers(classifier, explainer(described, over="embeddings")(one, 2)).scores
        np.testing.assert_allclose(within, expected, rtol=1e-9)


@pytest.mark.parametrize("described", ["captum ShapleyValueSampling(n_samples=4)", "shap Exact", "lime num_samples=90"])
def test_batches_keep_to_the_classifiers_size_and_shrink_when_memory_is_short(described):
    classifier, (one,) = tiny((6,))
    roomy, tight = Watched(classifier, batch_tokens=80), Watched(classifier, memory=3, batch_tokens=80)
    expected = answers(roomy, explainer(described)(one, 1)).scores
    np.testing.assert_allclose(answers(tight, explainer(described)(one, 1)).scores, expected, rtol=0, atol=1e-6)
    assert 4 <= max(map(len, roomy.batches)) <= 10
    assert max(map(len, tight.batches)) <= 3


def test_memory_for_not_even_one_row_is_said():
    model, one = Watched(LinearModel.random(), memory=0), text([1, 5, 6, 1])
    with pytest.raises(RuntimeError, match="a text of 4 tokens does not fit into memory"):
        answers(model, Captum("FeatureAblation")(one, 1))


@pytest.mark.parametrize("described", ["captum FeatureAblation", "shap Exact", "lime num_samples=9", "captum Saliency"])
def test_a_class_that_the_model_has_not_is_refused(described):
    classifier, (one,) = tiny((2,))
    with pytest.raises(RuntimeError, match="QuestionError: target 3 is not one of 3 classes"):
        answers(classifier, explainer(described)(one, 3))


@pytest.mark.parametrize("asked", [Captum("IntegratedGradients"), Captum("FeatureAblation", over="embeddings")])
def test_methods_over_embeddings_say_which_models_have_some(asked):
    with pytest.raises(RuntimeError, match="runs over embeddings, which only a Hugging Face model offers"):
        answers(LinearModel.random(), asked(text([1, 5, 6, 1]), 1))


def test_scores_that_are_no_numbers_are_refused():
    model = LinearModel.one_hot([(0.0, 0.0), (0.0, 0.0), (0.0, np.nan)])
    with pytest.raises(RuntimeError, match="captum's FeatureAblation gives scores that are not finite numbers"):
        answers(model, Captum("FeatureAblation")(text([1, 2, 1]), 1))


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        (partial(Captum, "Salience"), "'Salience' is not a known method of captum; did you mean Saliency?"),
        (partial(Captum, "Captum"), "'Captum' is not a known method of captum; known: FeatureAblation, Gradient"),
        (partial(Captum, "DeepLift"), "method='DeepLift' is not allowed: captum makes it from model, not from a fun"),
        (
            partial(Captum, "LayerActivation"),
            "captum makes it from forward_func, layer, not from a function alone; use",
        ),
        (partial(Captum, "FeaturePermutation"), "captum compares texts with each other there, not one with a baseline"),
        (
            partial(Captum, "IntegratedGradients(n_step=3)"),
            "'n_step' is not a known parameter of captum's Integ.* n_ste",
        ),
        (partial(Captum, "KernelShap(baselines=0)"), "captum's KernelShap: baselines cannot be given; faithbench sets"),
        (partial(Captum, "DeepLift(eps=1)"), "method='DeepLift' is not allowed"),
        (partial(Captum, "Lime(similarity_func=f)"), "'similarity_func' is not a known parameter of captum's Lime;"),
        (partial(Captum, "GradientShap(return_convergence_delta=True)"), "return_convergence_delta cannot be given"),
        (partial(Captum, "Occlusion"), "captum's Occlusion needs sliding_window_shapes"),
        (partial(Captum, "IntegratedGradients(20)"), r"method='IntegratedGradients\(20\)' is not .* given by name"),
        (partial(Captum, "Saliency("), r"method: 'Saliency\(' is not of the form name or name\(key=value"),
        (partial(Captum, "Saliency", over="tokens"), "over='tokens' is not allowed; use auto or embeddings or ids"),
        (partial(Captum, "Saliency", over="ids"), "over='ids' is not allowed with Saliency: gradients need embeddings"),
        (partial(Captum, "Occlusion(sliding_window_shapes=(1,))", over="embeddings"), "it cannot take dimensions"),
        (partial(Captum, "Saliency", seed=-1), "seed=-1 is not allowed"),
        (partial(Shap, "Kernel"), "'Kernel' is not a known explainer of shap .*; known: Exact, Partition, Permutation"),
        (
            partial(Shap, "Partition(max_eval=9)"),
            "'max_eval' is not a known parameter of shap's Partition; .* max_evals",
        ),
        (partial(Shap, "Exact(interactions=2)"), "shap's Exact: interactions cannot be given; faithbench sets it"),
        (partial(Shap, "Permutation(seed=3)"), "shap's Permutation: seed cannot be given; faithbench sets it"),
        (partial(Shap, "Exact", seed=-1), "seed=-1 is not allowed"),
        (partial(LimePackage, num_samples=1), "num_samples=1 is not allowed; it must be a whole number from 2 to"),
        (partial(LimePackage, num_features=0), "num_features=0 is not allowed; it must be a whole number from 1 to"),
        (partial(LimePackage, kernel_width=0.0), "kernel_width=0.0 is not allowed; it must be above 0"),
        (
            partial(LimePackage, feature_selection="best"),
            "feature_selection='best' is not allowed; use auto or forward",
        ),
        (partial(LimePackage, seed=-1), "seed=-1 is not allowed"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(made, complaint):
    pytest.importorskip({Captum: "captum", Shap: "shap", LimePackage: "lime"}[made.func])
    with pytest.raises(ValueError, match=complaint) as caught:
        made()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_is_not_there_is_named_with_the_way_to_get_it(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    name = {"lime": "lime_package"}.get(package, package)
    sentence = rf"^explainer {name} needs the package {package}: pip install 'faithbench\[{package}\]'$"
    with pytest.raises(ValueError, match=sentence):
        PACKAGES[package]()


def test_a_package_that_cannot_be_imported_is_named_with_the_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ValueError, match=r"explainer captum cannot import captum\.attr \(ModuleNotFoundError: "):
        Captum("Saliency")


@pytest.mark.parametrize(
    ("text", "full"),
    [
        (
            "captum(IntegratedGradients(n_steps=20))",
            "captum(method='IntegratedGradients(n_steps=20)', over=auto, seed=0)",
        ),
        ("captum(Saliency)", "captum(method=Saliency, over=auto, seed=0)"),
        (
            "captum(Lime( perturbations_per_eval = 2,n_samples=9), seed=3)",
            "captum(method='Lime(n_samples=9, perturbations_per_eval=2)', over=auto, seed=3)",
        ),
        (
            "captum(Occlusion(sliding_window_shapes=(2,)))",
            "captum(method='Occlusion(sliding_window_shapes=(2,))', over=auto, seed=0)",
        ),
    ],
)
def test_identity_is_the_spec_with_the_methods_parameters_in_order(text, full, monkeypatch):
    monkeypatch.setattr(spec.finding, "get", lambda kind, name: spec.finding.Plugin(kind, "captum", (ENTRY,)))
    assert spec.build("explainer", text).identity == full
    assert spec.build("explainer", full).object == spec.build("explainer", text).object


def test_wrappers_run_only_where_named():
    assert all(kind.on_request for kind in (Captum, Shap, LimePackage))


def test_listing_the_wrappers_imports_neither_torch_nor_the_libraries():
    names = "captum", "shap", "lime_package"
    code = "".join(f"import faithbench_explainers.{name}; " for name in names)
    code += "import sys; print(*sorted({'torch', 'captum', 'shap', 'lime', 'sklearn'} & set(sys.modules)), sep=',')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""

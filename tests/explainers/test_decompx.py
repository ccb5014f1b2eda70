"""DecompX against a slow propagation, token by token, against B-cos explanations, and in closed form."""

import math
from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders import KINDS, LinearModel, answers, random_texts, text, tiny_classifier
from faithbench_explainers.bcos import Bcos
from faithbench_explainers.decomposition.propagation import by_dimension, by_dot, table
from faithbench_explainers.decompx import BIAS_SPLITS, VALUE_BIASES, DecompX
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from faithbench.bcos import convert
from faithbench.conformance import check_explainer
from faithbench.errors import QuestionError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import Row
from faithbench.types import Text

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
PRECISIONS = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)
SPLITS = pytest.mark.parametrize("bias_split", BIAS_SPLITS)
HEADS = 2
MODELS = [("bert", None, False), ("roberta", None, True), ("distilbert", 1.5, True)]
PARTS = "query key value mix mix_norm expand contract norm dense out".split()
BERT_LAYER = """attention.self.query attention.self.key attention.self.value attention.output.dense
    attention.output.LayerNorm intermediate.dense output.dense output.LayerNorm""".split()
DISTILBERT_LAYER = """attention.q_lin attention.k_lin attention.v_lin attention.out_lin sa_layer_norm ffn.lin1
    ffn.lin2 output_layer_norm""".split()
NAMES = {
    "bert": [f"bert.encoder.layer.{{}}.{name}" for name in BERT_LAYER] + ["bert.pooler.dense", "classifier"],
    "roberta": [f"roberta.encoder.layer.{{}}.{name}" for name in BERT_LAYER]
    + ["classifier.dense", "classifier.out_proj"],
    "distilbert": [f"distilbert.transformer.layer.{{}}.{name}" for name in DISTILBERT_LAYER]
    + ["pre_classifier", "classifier"],
}
ACTIVATIONS = {
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_new": lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "relu": lambda x: max(x, 0.0),
    "silu": lambda x: x / (1 + math.exp(-x)),
}
ACTIVATIONS |= {"gelu_pytorch_tanh": ACTIVATIONS["gelu_new"], "swish": ACTIVATIONS["silu"]}


class SlowDecompX:
    """Section 3 of the paper for a conventional classifier: states[i][k] is what token k has at position i."""

    def __init__(self, classifier: HuggingFaceClassifier, bias_split: str = "dot", activation: str = "gelu") -> None:
        self.classifier, self.bias_split, self.activation = classifier, bias_split, ACTIVATIONS[activation]
        self.kind = classifier.model.config.model_type
        self.eps = getattr(classifier.model.config, "layer_norm_eps", 1e-12)
        self.numbers = {name: tensor.numpy() for name, tensor in classifier.model.state_dict().items()}
        self.names = dict(zip(PARTS, NAMES[self.kind], strict=True))

    def weight(self, part, layer=0):
        return self.numbers[f"{self.names[part].format(layer)}.weight"]

    def bias(self, part, layer=0):
        return self.numbers[f"{self.names[part].format(layer)}.bias"]

    def table(self, one: Text, value_bias: str):
        embeddings = self.classifier.embedded(torch.from_numpy(one.ids)[None])[0].numpy()
        n = len(embeddings)
        states = [[embeddings[i] if i == k else np.zeros(16) for k in range(n)] for i in range(n)]
        for layer in range(self.classifier.model.config.num_hidden_layers):
            attended = value_bias == "attended" or (value_bias == "attended_first" and layer == 0)
            mixed, bias = self.attention(states, layer, attended)
            rows = [self.norm(self.share(row, bias), "mix_norm", layer) for row in mixed]
            states = [self.feed_forward(row, layer) for row in rows]
        head = (lambda x: max(x, 0.0)) if self.kind == "distilbert" else math.tanh
        return np.stack(self.linear(self.through_origin(self.linear(states[0], "dense"), head), "out"))

    def attention(self, states, layer, attended):
        """What each position has after the residual connection, and the biases that are not handed out yet."""
        totals = [sum(row) for row in states]
        queries, keys = ([self.weight(p, layer) @ x + self.bias(p, layer) for x in totals] for p in ("query", "key"))
        n, value, bias = len(states), self.weight("value", layer), self.bias("value", layer)
        out = [[states[i][k].copy() for k in range(n)] for i in range(n)]
        for head, i in product(range(HEADS), range(n)):
            at = slice(8 * head, 8 * head + 8)
            scores = np.exp([queries[i][at] @ keys[j][at] / math.sqrt(8) for j in range(n)])
            for j, k in product(range(n), range(n)):
                own = value[at] @ states[j][k] + (bias[at] if attended and j == k else 0)
                out[i][k] += scores[j] / scores.sum() * self.weight("mix", layer)[:, at] @ own
        kept = 0 if attended else self.weight("mix", layer) @ bias
        return out, self.bias("mix", layer) + kept

    def feed_forward(self, row, layer):
        inner = self.through_origin(self.linear(row, "expand", layer), self.activation)
        outer = self.linear(inner, "contract", layer)
        return self.norm([a + b for a, b in zip(row, outer, strict=True)], "norm", layer)

    def linear(self, row, part, layer=0):
        return self.share([self.weight(part, layer) @ x for x in row], self.bias(part, layer))

    def norm(self, row, part, layer):
        total = sum(row)
        std = math.sqrt(((total - total.mean()) ** 2).mean() + self.eps)
        return self.share([self.weight(part, layer) * (x - x.mean()) / std for x in row], self.bias(part, layer))

    def through_origin(self, row, function):
        slope = np.array([function(float(x)) / x for x in sum(row)])
        return [slope * x for x in row]

    def share(self, row, bias):
        if self.bias_split == "dot":
            sizes = [abs(bias @ x) for x in row]
            return [x + size / sum(sizes) * bias for x, size in zip(row, sizes, strict=True)]
        out = [x.copy() for x in row]
        for d, k in product(range(len(bias)), range(len(row))):
            out[k][d] += bias[d] * abs(row[k][d]) / sum(abs(x[d]) for x in row)
        return out


def own_logits(classifier: HuggingFaceClassifier, one: Text) -> np.ndarray:
    """The torch model on one text."""
    with torch.no_grad():
        return classifier.model(input_ids=torch.from_numpy(one.ids)[None]).logits[0].double().numpy()


@pytest.mark.slow
@ALL_KINDS
@pytest.mark.parametrize("b", [None, 1.5])
@PRECISIONS
def test_columns_sum_to_the_logits(kind, b, dtype):
    classifier = tiny_classifier(kind, b, classes=3, dtype=dtype)
    for one, bias_split, value_bias in product(random_texts(classifier, (4, 1, 30)), BIAS_SPLITS, VALUE_BIASES):
        found = table(classifier, one, bias_split, value_bias)
        assert found.shape == (len(one), 3)
        gaps = found.sum(axis=0) - own_logits(classifier, one)
        assert np.abs(gaps).max() <= TOLERANCE[dtype]
        assert np.abs(found).max() > 1e-3  # they are not all small


@ALL_KINDS
@SPLITS
@pytest.mark.parametrize("value_bias", VALUE_BIASES)
def test_table_is_the_slow_propagation(kind, bias_split, value_bias):
    classifier = tiny_classifier(kind, classes=3, dtype=torch.float64)
    slow = SlowDecompX(classifier, bias_split)
    for one in random_texts(classifier, (1, 4)):
        found = table(classifier, one, bias_split, value_bias)
        np.testing.assert_allclose(found, slow.table(one, value_bias), rtol=0, atol=1e-10)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_lines_through_the_origin(activation):
    classifier = tiny_classifier("bert", dtype=torch.float64, hidden_act=activation, layer_norm_eps=0.1)
    one = random_texts(classifier)[3]
    expected = SlowDecompX(classifier, activation=activation).table(one, "attended_first")
    np.testing.assert_allclose(table(classifier, one), expected, rtol=0, atol=1e-10)


@pytest.mark.slow
@ALL_KINDS
@pytest.mark.parametrize(("b", "qkv"), [(1.0, False), (1.5, False), (1.5, True), (2.5, False)])
def test_bcos_models_have_their_own_explanation(kind, b, qkv):
    plain = tiny_classifier(kind, classes=3, dtype=torch.float64)
    classifier = HuggingFaceClassifier(convert(plain.model, b, qkv), plain.tokenizer, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (4, 1, 30))):
        expected = answers(classifier, Bcos()(one, target)).scores
        for bias_split, value_bias in product(BIAS_SPLITS, VALUE_BIASES):
            found = answers(classifier, DecompX(bias_split, value_bias)(one, target))
            np.testing.assert_allclose(found.scores, expected, rtol=0, atol=1e-9)
            assert abs(found.notes["completeness_gap"]) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("b", [None, 1.5])
@SPLITS
def test_chunks_change_nothing(b, bias_split):
    classifier = tiny_classifier("bert", b, dtype=torch.float64)
    one = random_texts(classifier, (11,))[0]
    whole = table(classifier, one, bias_split)
    for chunk in (1, 700, 2000):
        np.testing.assert_allclose(table(classifier, one, bias_split, chunk=chunk), whole, rtol=0, atol=1e-12)


class Large(TorchDispatchMode):
    """Counts the tensors of more than so many bytes that torch makes, views left out."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.found = limit, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        storages = [leaf.untyped_storage() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.found |= {storage.data_ptr() for storage in storages if storage.nbytes() > self.limit}
        return out


@SPLITS
def test_nothing_larger_than_a_chunk_is_made_besides_the_parts(bias_split):
    classifier = tiny_classifier("bert", 1.5, dtype=torch.float64)
    one, chunk = random_texts(classifier, (36,))[0], 3000  # parts are 38 · 38 · 16 numbers, attention 2 · 38 · 38
    with Large(8 * chunk) as bounded:
        table(classifier, one, bias_split, chunk=chunk)
    with Large(8 * chunk) as unbounded:
        table(classifier, one, bias_split)
    assert len(bounded.found) == 1 < len(unbounded.found)


@pytest.mark.parametrize("b", [None, 1.5])
def test_scores_are_a_column_of_the_table_or_a_difference_of_columns(b):
    classifier = tiny_classifier("bert", b, classes=4, dtype=torch.float64)
    for target, one in enumerate(random_texts(classifier, (3, 9, 5, 1))):
        expected, logits = table(classifier, one), own_logits(classifier, one)
        plain = answers(classifier, DecompX()(one, target))
        np.testing.assert_array_equal(plain.scores, expected[:, target])
        gap = logits[target] - expected[:, target].sum()
        assert plain.notes["completeness_gap"] == pytest.approx(gap, abs=1e-14)
        rival = max(set(range(4)) - {target}, key=lambda c: logits[c])
        contrast = answers(classifier, DecompX(contrastive=True)(one, target))
        np.testing.assert_array_equal(contrast.scores, expected[:, target] - expected[:, rival])
        assert contrast.scores.sum() == pytest.approx(logits[target] - logits[rival], abs=1e-9)


def test_completeness_gap_is_the_logit_less_the_scores():
    classifier = tiny_classifier("roberta", dtype=torch.float32)  # where it is not 0
    one = random_texts(classifier, (30,))[0]
    (logits,) = classifier.logits([Row(one.ids)])
    found = answers(classifier, DecompX()(one, 1))
    assert found.notes["completeness_gap"] == pytest.approx(float(logits[1]) - found.scores.sum(), rel=1e-6, abs=0)
    assert found.notes["completeness_gap"] != 0


def test_parameters_reach_the_table():
    classifier = tiny_classifier("distilbert", dtype=torch.float64)
    one = random_texts(classifier)[0]
    for parameters in product(BIAS_SPLITS, VALUE_BIASES):
        scores = answers(classifier, DecompX(*parameters)(one, 1)).scores
        np.testing.assert_array_equal(scores, table(classifier, one, *parameters)[:, 1])


@ALL_KINDS
def test_where_biases_go_changes_scores_and_not_their_sum(kind):
    classifier = tiny_classifier(kind, dtype=torch.float64)
    one = random_texts(classifier)[2]
    tables = [table(classifier, one, *parameters) for parameters in product(BIAS_SPLITS, VALUE_BIASES)]
    for first, second in combinations(tables, 2):
        assert np.abs(first - second).max() > 1e-3
        np.testing.assert_allclose(first.sum(axis=0), second.sum(axis=0), rtol=0, atol=1e-9)


def test_one_layer_whose_values_are_their_biases_in_closed_form():
    """Attention is uniform and every value is the bias v, so each token brings W_o v / n to the first position."""
    classifier = tiny_classifier("bert", dtype=torch.float64, num_hidden_layers=1)
    layer, one = classifier.model.bert.encoder.layer[0], random_texts(classifier)[0]
    head = [classifier.model.bert.pooler.dense, classifier.model.classifier]
    zeros = [layer.attention.self.query.weight, layer.attention.self.query.bias, layer.attention.self.value.weight]
    norms = [layer.attention.output.LayerNorm, layer.output.LayerNorm]
    unbiased = [layer.attention.output.dense, layer.intermediate.dense, layer.output.dense, *norms, *head]
    with torch.no_grad():
        for parameter in (*zeros, layer.output.dense.weight, *(module.bias for module in unbiased)):
            parameter.zero_()
        brought = (layer.attention.output.dense.weight @ layer.attention.self.value.bias).numpy()
        first = classifier.embedded(torch.from_numpy(one.ids)[None])[0, 0].numpy()
    n = len(one)
    parts = np.tile(brought / n, (n, 1))
    parts[0] += first
    for norm in norms:
        std = parts.sum(axis=0).std()
        parts = norm.weight.numpy() * (parts - parts.mean(axis=1, keepdims=True)) / std
    dense, out = (module.weight.numpy() for module in head)
    pooled = dense @ parts.sum(axis=0)
    expected = (parts @ dense.T * np.tanh(pooled) / pooled) @ out.T
    np.testing.assert_allclose(table(classifier, one), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(table(classifier, one, value_bias="attended"), expected, rtol=0, atol=1e-12)
    shared = table(classifier, one, value_bias="shared")  # only the first token has a part to share by: it gets all
    np.testing.assert_allclose(shared[0], out @ np.tanh(pooled), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(shared[1:], 0)


def test_biases_are_handed_out_by_absolute_contribution():
    bias = torch.tensor([2.0, 1.0])
    parts = torch.tensor([[[1.0, 1.0], [0.0, -1.0], [-1.0, 2.0]]])  # b·x is 3, -1 and 0
    by_dot(found := parts.clone(), bias)
    torch.testing.assert_close(found - parts, torch.tensor([[[1.5, 0.75], [0.5, 0.25], [0.0, 0.0]]]))
    by_dimension(found := parts.clone(), bias)
    torch.testing.assert_close(found - parts, torch.tensor([[[1.0, 0.25], [0.0, 0.25], [1.0, 0.5]]]))


@pytest.mark.parametrize("split", [by_dot, by_dimension])
def test_biases_of_positions_without_contributions_are_handed_out_equally(split):
    parts, bias = torch.zeros(3, 4, 2), torch.tensor([[2.0, -1.0], [0.0, 0.0], [4.0, 8.0]])
    split(parts, bias)
    torch.testing.assert_close(parts, bias[:, None].expand(3, 4, 2) / 4)


def test_states_that_are_zero_keep_the_table_complete():
    classifier = tiny_classifier("bert", dtype=torch.float64)
    one = random_texts(classifier)[0]
    with torch.no_grad():
        for module in (classifier.model.bert.encoder.layer[0].intermediate.dense, classifier.model.bert.pooler.dense):
            module.weight[::2] = 0
            module.bias[::2] = 0
    found = table(classifier, one)
    np.testing.assert_allclose(found.sum(axis=0), own_logits(classifier, one), rtol=0, atol=1e-9)


def test_attention_implementations_make_no_difference():
    classifier = tiny_classifier("bert", dtype=torch.float64)
    one = random_texts(classifier)[0]
    eager = tiny_classifier("bert", dtype=torch.float64, attn_implementation="eager")
    np.testing.assert_array_equal(table(eager, one), table(classifier, one))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "b", "contrastive"), MODELS)
def test_contract_holds(kind, b, contrastive):
    classifier = tiny_classifier(kind, b, classes=3, dtype=torch.float64)
    component = DecompX(contrastive=contrastive)
    check_explainer(component, classifier, random_texts(classifier, (5, 1, 3)))


def test_a_model_that_is_not_of_hugging_face_is_refused():
    with pytest.raises(RuntimeError, match=r"^QuestionError: DecompX reads Hugging Face classifiers, and LinearModel"):
        answers(LinearModel.random(), DecompX()(text([1, 5, 6, 1]), 0))


def test_an_unknown_architecture_is_refused_by_name():
    classifier = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(model_type="electra")))
    with pytest.raises(QuestionError, match="does not know the parts of the architecture 'electra'"):
        table(classifier, text([1, 5, 6, 1]))


def test_an_unknown_activation_is_refused_by_name():
    classifier = tiny_classifier("bert", hidden_act="sigmoid")
    with pytest.raises(RuntimeError, match=r"^QuestionError: DecompX knows the activations gelu, .*, not 'sigmoid'"):
        answers(classifier, DecompX()(random_texts(classifier)[0], 0))


def test_a_module_that_is_more_than_a_linear_layer_is_refused_by_name():
    classifier = tiny_classifier("bert")
    double = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 24))
    classifier.model.bert.encoder.layer[1].intermediate.set_submodule("dense", double)
    with pytest.raises(RuntimeError, match=r"^QuestionError: module 'intermediate.dense' \(Sequential\) is no Linear"):
        answers(classifier, DecompX()(random_texts(classifier)[0], 0))


@pytest.mark.parametrize("name", ["bias_split", "value_bias"])
def test_parameters_are_refused_by_name_and_value(name):
    with pytest.raises(ValueError, match=f"{name}='equal' is not allowed; use "):
        DecompX(**{name: "equal"})

"""B-cos models: layers, conversion, exact explanations, checkpoints (specs/bcos.md, arXiv 2502.12992)."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import KINDS, answers, points, random_texts, randomise, tiny_classifier, tiny_network, tiny_tokenizer
from faithbench_explainers.bcos import Bcos
from slow_transformer import embeddings_hook
from torch import Tensor, nn
from transformers import BertForQuestionAnswering

from faithbench.architectures.factors import dynamic_scale
from faithbench.architectures.heads import SignJoin, SignSplit
from faithbench.bcos.convert import convert
from faithbench.bcos.modules import BcosLinear
from faithbench.errors import QuestionError, UserError
from faithbench.models import frozen, openings
from faithbench.models.frozen import FrozenWeights
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import FROZEN, Row
from faithbench.training.checkpoint import load

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}
LENGTHS = (5, 1, 12, 3)
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
PRECISIONS = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def slow_bcos(weight: Tensor, x: Tensor, b: float) -> Tensor:
    """One input vector through specs/bcos.md, section 1, a number at a time."""
    outputs = []
    for row in weight.tolist():
        length = math.sqrt(sum(w * w for w in row))
        o = sum(w / length * v for w, v in zip(row, x.tolist(), strict=True)) if length else 0.0
        n = math.sqrt(sum(v * v for v in x.tolist()) + 1e-6)
        outputs.append(o if b == 1 else (abs(o / n) + 1e-6) ** (b - 1) * o)
    return torch.tensor(outputs, dtype=weight.dtype)


def bcos_layer(b: float, inputs: int = 5, outputs: int = 4, dtype: torch.dtype = torch.float64) -> BcosLinear:
    """A layer with random weights."""
    plain = nn.Linear(inputs, outputs, dtype=dtype)
    nn.init.normal_(plain.weight, std=3.0, generator=torch.Generator().manual_seed(0))
    return BcosLinear.of(plain, b)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def completeness_gaps(classifier: HuggingFaceClassifier, targets: list[int]) -> list[float]:
    """|logit − Σ scores| beside the larger of logit and largest score, for a padded batch."""
    rows = [one.ids for one in random_texts(classifier, LENGTHS)]
    gaps = []
    for found in classifier.gradients(points(rows, targets), FROZEN):
        scores = (found.embeddings.astype(np.float64) * found.gradient).sum(-1)
        gaps.append(abs(found.logit - scores.sum()) / max(abs(found.logit), np.abs(scores).max()))
    return gaps


def without(rule: object) -> frozen.Rules:
    """What is frozen, less one thing."""
    left = {function: rewritten for function, rewritten in frozen.FROZEN.items() if function is not rule}
    assert len(left) == len(frozen.FROZEN) - 1
    return left


# The layer


@pytest.mark.parametrize("b", [1.0, 1.25, 1.5, 2.0, 2.5])
def test_layer_agrees_with_the_formula(b):
    layer, x = bcos_layer(b), noise(3, 5)
    expected = torch.stack([slow_bcos(layer.weight, row, b) for row in x])
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(layer.eval().requires_grad_(False)(x), expected, rtol=1e-12, atol=1e-14)


def test_layer_does_not_depend_on_the_size_of_its_weights():
    layer, x = bcos_layer(1.5), noise(3, 5)
    expected = layer(x)
    with torch.no_grad():
        layer.weight.mul_(7)
    torch.testing.assert_close(layer(x), expected)


def test_layer_is_bounded_by_the_input_and_loud_only_when_aligned():
    layer, x = bcos_layer(2.0), noise(100, 5)
    assert (layer(x).abs() <= x.norm(dim=-1, keepdim=True) * (1 + 1e-5)).all()
    along = 3 * F.normalize(layer.weight.detach(), dim=1)
    torch.testing.assert_close(layer(along).diag(), torch.full((4,), 3.0).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("b", [1.0, 1.25, 1.5, 2.0, 2.5])
def test_training_gradients_flow_through_scale_weight_and_norm(b):
    layer, x = bcos_layer(b), noise(3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda w, v: torch.func.functional_call(layer, {"weight": w}, v), (layer.weight, x))


@pytest.mark.parametrize("b", [1.0, 1.25, 1.5, 2.0, 2.5])
@PRECISIONS
def test_zero_weight_row_and_zero_input_give_zeros_and_no_nan(b, dtype):
    layer, x = bcos_layer(b, dtype=dtype), noise(3, 5).to(dtype)
    with torch.no_grad():
        layer.weight[1] = 0
        x[2] = 0
    x.requires_grad_()
    out = layer(x)
    assert (out[:, 1] == 0).all()
    assert (out[2] == 0).all()
    gradients = torch.autograd.grad(out.square().sum() + out.sum(), (layer.weight, x))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert torch.isfinite(layer.eval().requires_grad_(False)(x)).all()


@pytest.mark.parametrize("b", [1.25, 1.5, 2.0])
def test_frozen_layer_is_linear_in_the_backward_pass_only(b):
    layer, x = bcos_layer(b), noise(5).requires_grad_()
    with FrozenWeights():
        out = layer(x)
    torch.testing.assert_close(out, layer(x), rtol=1e-14, atol=0)
    (gradient,) = torch.autograd.grad(out[0], x)
    unit = layer.weight[0] / layer.weight[0].norm()
    scale = ((unit @ x / (x @ x + 1e-6).sqrt()).abs() + 1e-6) ** (b - 1)
    torch.testing.assert_close(gradient, (scale * unit).detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    "change", ["load_state_dict", "in place", "optimizer", "fused optimizer", "new data", "double"]
)
def test_remembered_unit_weights_follow_a_weight_change(change, trained):
    layer, x = bcos_layer(1.5, dtype=torch.float32).eval(), noise(3, 5).float()
    layer.requires_grad_(trained or "optimizer" in change)  # only a weight without gradient is remembered
    new = bcos_layer(1.5, dtype=torch.float32).weight.flip(0).detach().clone()
    with torch.inference_mode():
        layer(x)  # remembers
    if change == "load_state_dict":
        layer.load_state_dict({"weight": new})
    elif change == "in place":
        with torch.no_grad():
            layer.weight.copy_(new)
    elif change == "new data":
        layer.weight.data = new
    elif "optimizer" in change:
        layer.weight.grad = layer.weight.detach() - new
        torch.optim.SGD([layer.weight], lr=1.0, fused="fused" in change).step()
    else:
        layer, x, new = layer.double(), x.double(), layer.weight.detach().double()
    with torch.inference_mode():
        found = layer(x)
    expected = torch.stack([slow_bcos(new, row, 1.5) for row in x])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_copy_remembers_its_own_weights():
    layer, x = bcos_layer(1.5).eval().requires_grad_(False), noise(3, 5)
    before = layer(x)
    twin = copy.deepcopy(layer)
    twin.load_state_dict({"weight": layer.weight.flip(0)})
    torch.testing.assert_close(twin(x), before.flip(1))
    torch.testing.assert_close(layer(x), before, rtol=0, atol=0)


def test_weights_remembered_in_inference_mode_can_be_used_in_gradients():
    layer, x = bcos_layer(1.5).eval().requires_grad_(False), noise(5).requires_grad_()
    with torch.inference_mode():
        layer(x)
    (gradient,) = torch.autograd.grad(layer(x).sum(), x)
    assert torch.isfinite(gradient).all()


def test_sign_split_survives_a_relu():
    x = noise(3, 5)
    torch.testing.assert_close(SignJoin()(SignSplit()(x).relu()), x, rtol=0, atol=0)


# Conversion


@EVERY_KIND
def test_convert_leaves_the_given_model_as_it_was(kind):
    network = tiny_network(kind)
    before, modules, config = copy.deepcopy(network.state_dict()), str(network), repr(network.config)
    converted = convert(network)
    randomise(converted, seed=5)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (str(network), repr(network.config)) == (modules, config)


@EVERY_KIND
def test_convert_copies_weights_and_keeps_the_gains_of_norms(kind):
    network = tiny_network(kind)
    old, new = network.state_dict(), convert(network).state_dict()
    head = {"pre_classifier.0.weight": "pre_classifier.weight", "classifier.1.weight": "classifier.weight"}
    assert len([name for name in new if "norm.weight" in name.lower()]) == 5
    for name, tensor in new.items():
        assert torch.equal(tensor, old[head.get(name, name)])


@EVERY_KIND
def test_convert_drops_every_bias(kind):
    converted = convert(tiny_network(kind))
    assert [name for name, _ in converted.named_parameters() if name.endswith("bias")] == []
    kept = convert(tiny_network(kind), embedding_bias=True)
    biased = [name for name, _ in kept.named_parameters() if name.endswith("bias")]
    assert biased == [f"{kind}.embeddings.LayerNorm.bias"]


@EVERY_KIND
@pytest.mark.parametrize("qkv", [False, True])
def test_convert_leaves_query_key_and_value_plain_unless_told(kind, qkv):
    converted = convert(tiny_network(kind), b=1.25, qkv=qkv)
    linears = {name: module for name, module in converted.named_modules() if isinstance(module, nn.Linear)}
    ends = ("q_lin", "k_lin", "v_lin") if kind == "distilbert" else ("self.query", "self.key", "self.value")
    projections = {name for name in linears if name.endswith(ends)}
    assert (len(projections), len(linears)) == (6, 14)
    for name, linear in linears.items():
        assert type(linear) is (nn.Linear if name in projections and not qkv else BcosLinear)
        assert linear.bias is None
        assert getattr(linear, "b", 1.25) == 1.25


@EVERY_KIND
def test_convert_notes_its_settings_and_refuses_to_convert_twice(kind):
    converted = convert(tiny_network(kind), b=2.0, qkv=True)
    assert converted.config.bcos == {"b": 2.0, "qkv": True, "embedding_bias": False}
    with pytest.raises(UserError, match="is a B-cos model already"):
        convert(converted)


@pytest.mark.parametrize("b", [0.5, math.nan, -1.0])
def test_convert_refuses_an_exponent_below_one(b):
    with pytest.raises(UserError, match=f"b={b} is not allowed"):
        convert(tiny_network("bert"), b)


def test_convert_names_a_model_that_is_no_sequence_classifier():
    with pytest.raises(UserError, match=r"BertModel has no layers at 'bert\.encoder\.layer', so that"):
        convert(tiny_network("bert").bert)


def test_convert_names_a_model_without_logits():
    with pytest.raises(UserError, match=r"BertForQuestionAnswering is no sequence classifier or .*: it has no logits"):
        convert(BertForQuestionAnswering(tiny_network("bert").config))


def test_convert_names_a_module_that_has_no_bcos_form():
    network = tiny_network("bert")
    network.bert.encoder.layer[1].adapter = nn.Conv1d(16, 16, 1)
    with pytest.raises(UserError, match=r"'bert\.encoder\.layer\.1\.adapter' \(Conv1d\) has no B-cos form"):
        convert(network)


@pytest.mark.parametrize(("kind", "option"), [("bert", "hidden_act"), ("distilbert", "activation")])
def test_convert_names_an_activation_that_has_no_bcos_form(kind, option):
    with pytest.raises(UserError, match=r"\(Sigmoid\) has no B-cos form"):
        convert(tiny_network(kind, **{option: "sigmoid"}))


@pytest.mark.parametrize(
    "kind",
    [
        "bert",
        "distilbert",
        "roberta",
    ],
)
def test_convert_of_a_model_in_eval_mode_has_no_dropout(kind):
    converted, ids = convert(tiny_network(kind).eval()), torch.tensor([[2, 30, 31, 3]])
    assert torch.equal(converted(input_ids=ids).logits, converted(input_ids=ids).logits)


@EVERY_KIND
def test_converted_head_has_no_activation(kind):
    converted = convert(tiny_network(kind), b=1.5).double().eval()
    states = noise(2, 16)
    if kind == "bert":
        dense, out = converted.bert.pooler.dense, converted.classifier
        found = converted.classifier(converted.bert.pooler(states[:, None]))
    elif kind == "roberta":
        dense, out = converted.classifier.dense, converted.classifier.out_proj
        found = converted.classifier(states[:, None])
    else:
        dense, out = converted.pre_classifier[0], converted.classifier[1]
        found = converted.classifier(converted.pre_classifier(states).relu())
    expected = torch.stack([slow_bcos(out.weight, slow_bcos(dense.weight, x, 1.5), 1.5) for x in states])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_distilbert_logits_come_from_the_straight_head():
    classifier = tiny_classifier("distilbert", 1.5, dtype=torch.float64)
    model, one = classifier.model, random_texts(classifier)[0]
    ids = torch.from_numpy(one.ids)[None]
    first = model.distilbert(input_ids=ids).last_hidden_state[0, 0]
    dense, out = model.pre_classifier[0].weight, model.classifier[1].weight
    expected = slow_bcos(out, slow_bcos(dense, first, 1.5), 1.5)
    torch.testing.assert_close(model(input_ids=ids).logits[0], expected, rtol=1e-12, atol=1e-14)


@EVERY_KIND
def test_zero_weight_rows_leave_a_model_that_can_be_trained(kind):
    network = convert(tiny_network(kind, classes=3), b=1.5).train()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BcosLinear):
                module.weight[0] = 0
    logits = network(input_ids=torch.tensor([[2, 30, 31, 3]])).logits
    assert (logits[:, 0] == 0).all()
    F.binary_cross_entropy_with_logits(logits, torch.tensor([[0.0, 1.0, 0.0]])).backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert len(gradients) > 20
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


# Explanations


@PRECISIONS
@pytest.mark.parametrize("b", [1.0, 1.25, 1.5, 2.0, 2.5])
@EVERY_KIND
def test_scores_sum_to_the_logit(kind, b, dtype):
    classifier = tiny_classifier(kind, b, classes=3, dtype=dtype)
    assert max(completeness_gaps(classifier, [0, 1, 2, 0])) < TOLERANCE[dtype]


@pytest.mark.parametrize("activation", ["gelu", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish"])
def test_scores_sum_to_the_logit_for_every_activation_that_is_allowed(activation):
    classifier = tiny_classifier("bert", 1.5, dtype=torch.float64, hidden_act=activation)
    assert max(completeness_gaps(classifier, [0, 1, 1, 0])) < 1e-9


@EVERY_KIND
def test_scores_sum_to_the_logit_with_bcos_projections(kind):
    network = convert(tiny_network(kind), b=1.5, qkv=True)
    classifier = HuggingFaceClassifier(network, tiny_tokenizer(), dtype=torch.float64)
    assert max(completeness_gaps(classifier, [0, 1, 1, 0])) < 1e-9


@EVERY_KIND
def test_scores_sum_to_the_logit_with_eager_attention(kind):
    classifier = tiny_classifier(kind, 1.5, dtype=torch.float64, attn_implementation="eager")
    assert max(completeness_gaps(classifier, [0, 1, 1, 0])) < 1e-9


@pytest.mark.parametrize("rule", [F.layer_norm, F.gelu, F.scaled_dot_product_attention], ids=lambda f: f.__name__)
def test_a_part_that_is_not_frozen_is_refused_and_would_break_completeness(rule, monkeypatch):
    classifier, unchecked = (tiny_classifier("bert", 1.5, dtype=torch.float64) for _ in range(2))
    monkeypatch.setattr(frozen, "FROZEN", without(rule))
    with pytest.raises(QuestionError, match="has a part that FrozenWeights cannot hold constant"):
        completeness_gaps(classifier, [0, 1, 1, 0])
    monkeypatch.setattr(openings, "is_frozen", lambda *_: True)
    assert min(completeness_gaps(unchecked, [0, 1, 1, 0])) > 1e-4


def test_a_scale_that_is_not_frozen_changes_scores_though_not_their_sum(monkeypatch):
    """A B-cos layer is homogeneous of degree 1: by Euler's theorem completeness cannot tell whether it is frozen."""
    classifier = tiny_classifier("bert", 1.5, dtype=torch.float64)
    one = random_texts(classifier)[0]
    right = answers(classifier, Bcos()(one, 1)).scores
    monkeypatch.setattr(frozen, "FROZEN", without(dynamic_scale))
    wrong = answers(classifier, Bcos()(one, 1)).scores
    assert max(completeness_gaps(classifier, [0, 1, 1, 0])) < 1e-4
    assert np.abs(wrong - right).max() > 1e-2 * np.abs(right).max()


@pytest.mark.parametrize("b", [None, 1.5])
@PRECISIONS
@EVERY_KIND
def test_values_are_the_same_when_frozen(kind, b, dtype):
    classifier = tiny_classifier(kind, b, dtype=dtype)
    rows = [one.ids for one in random_texts(classifier, LENGTHS)]
    plain = classifier.logits([Row(row) for row in rows])[:, 1]
    logits = [found.logit for found in classifier.gradients(points(rows, [1] * 4), FROZEN)]
    np.testing.assert_allclose(logits, plain, rtol=0, atol=TOLERANCE[dtype] * np.abs(plain).max())


@pytest.mark.parametrize("activation", ["gelu_pytorch_tanh", "relu", "silu"])
def test_values_are_the_same_when_frozen_for_other_activations(activation):
    classifier = tiny_classifier("bert", dtype=torch.float64, hidden_act=activation)
    rows = [one.ids for one in random_texts(classifier, LENGTHS)]
    logits = [found.logit for found in classifier.gradients(points(rows, [1] * 4), FROZEN)]
    np.testing.assert_allclose(logits, classifier.logits([Row(row) for row in rows])[:, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("b", [None, 1.5])
@EVERY_KIND
def test_padding_gets_exactly_nothing(kind, b):
    classifier = tiny_classifier(kind, b)
    padded = random_texts(classifier, (3,))[0].ids
    ids = torch.tensor([[*padded, 0, 0, 0], random_texts(classifier, (6,))[0].ids.tolist()])
    mask = torch.ones_like(ids)
    mask[0, len(padded) :] = 0
    leaves = []

    def grasp(module: nn.Module, args: object, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[0]

    with embeddings_hook(classifier, grasp), FrozenWeights():
        logits = classifier.model(input_ids=ids, attention_mask=mask).logits
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), leaves[0])
    assert (leaves[0][0, len(padded) :] != 0).all()
    assert (gradient[0, len(padded) :] == 0).all()
    assert (gradient[0, : len(padded)] != 0).any(-1).all()


@pytest.mark.slow
@pytest.mark.parametrize("b", [None, 1.5, 2.5])
@EVERY_KIND
def test_a_text_has_the_same_scores_whatever_its_batch(kind, b):
    classifier = tiny_classifier(kind, b)
    rows = [one.ids for one in random_texts(classifier, LENGTHS)]
    batched = classifier.gradients(points(rows, [0, 1, 0, 1]), FROZEN)
    reversed_batch = classifier.gradients(points(rows[::-1], [1, 0, 1, 0]), FROZEN)[::-1]
    for row, target, *found in zip(rows, [0, 1, 0, 1], batched, reversed_batch, strict=True):
        (alone,) = classifier.gradients(points([row], [target]), FROZEN)
        expected = (alone.embeddings * alone.gradient).sum(-1)
        for other in found:
            scores = (other.embeddings * other.gradient).sum(-1)
            assert scores.shape == (len(row),)
            assert np.abs(scores - expected).max() <= 1e-5 * np.abs(expected).max()


@EVERY_KIND
def test_extraction_from_a_conventional_model_says_how_far_it_is_from_complete(kind):
    classifier = tiny_classifier(kind, dtype=torch.float64)
    for one in random_texts(classifier, LENGTHS):
        found = answers(classifier, Bcos()(one, 1))
        logit = classifier.logits([Row(one.ids)])[0, 1]
        assert found.notes["completeness_gap"] == pytest.approx(logit - found.scores.sum(), rel=1e-9)
        assert abs(found.notes["completeness_gap"]) > 1e-3


# Checkpoints


@pytest.mark.parametrize("b", [None, 1.0, 1.5])
@EVERY_KIND
def test_a_saved_model_comes_back_with_equal_logits(kind, b, tmp_path):
    classifier = tiny_classifier(kind, b, classes=3)
    rows = [one.ids for one in random_texts(classifier, LENGTHS)]
    classifier.model.save_pretrained(tmp_path)
    loaded = HuggingFaceClassifier(load(tmp_path), tiny_tokenizer())
    np.testing.assert_array_equal(
        loaded.logits([Row(row) for row in rows]), classifier.logits([Row(row) for row in rows])
    )
    assert loaded.fingerprint() == classifier.fingerprint()


@EVERY_KIND
def test_a_saved_model_keeps_its_conversion(kind, tmp_path):
    network = convert(tiny_network(kind), b=2.0, qkv=True)
    network.save_pretrained(tmp_path / "first")
    load(tmp_path / "first").save_pretrained(tmp_path / "second")
    loaded = load(tmp_path / "second")
    assert loaded.config.bcos == {"b": 2.0, "qkv": True, "embedding_bias": False}
    assert str(loaded) == str(network)
    assert not loaded.training

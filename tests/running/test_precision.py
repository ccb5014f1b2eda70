"""Double precision from the model in memory to the scores, and scores for each dimension of the embeddings."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from builders import LinearModel, shared_classifier, tiny_classifier, tiny_network, tiny_tokenizer
from captum import attr
from slow_transformer import torch_logits_from_embeddings

import faithbench
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.questions import Row
from faithbench.training.finished_model import FinishedModel
from faithbench.training.loading import OWN, load_classifier

TEXTS = ["a dull tale", "an old lion is not a lost boat", "noon"]
EMBEDDED = ["bcos", "input_x_gradient", "saliency", "attn_lrp", "integrated_gradients(n_steps=5)", "sig(n_steps=3)"]
KEPT = pytest.mark.skipif(transformers.__version__ < "5", reason="transformers 4 loads float64 weights as float32")
AT_HAND = {"tokenizer": tiny_tokenizer(), "device": "cpu"}


def in_double(b: float | None = None, kind: str = "bert") -> torch.nn.Module:
    network = tiny_network(kind, classes=3).double()
    return network if b is None else faithbench.bcos.convert(network, b=b)


def saved(folder: Path, network: torch.nn.Module) -> Path:
    network.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("b", [1.0, 1.5, 2.0])
def test_a_model_in_double_precision_is_complete_to_nine_digits(b):
    for found in faithbench.attribute(in_double(b), TEXTS, **AT_HAND):
        assert found.scores.dtype == np.float64
        assert abs(found.notes["completeness_gap"]) < 1e-9 * np.abs(found.scores).sum()


def test_a_model_in_memory_keeps_its_precision_unless_another_is_given():
    single = tiny_network("bert", classes=3)
    (doubled,) = faithbench.attribute(in_double(1.5), TEXTS[:1], **AT_HAND)
    (asked,) = faithbench.attribute(faithbench.bcos.convert(single, b=1.5), TEXTS[:1], dtype="float64", **AT_HAND)
    (cut,) = faithbench.attribute(in_double(1.5), TEXTS[:1], dtype=torch.float32, **AT_HAND)
    np.testing.assert_array_equal(doubled.scores, asked.scores)
    assert 0 < np.abs(cut.scores - doubled.scores).max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_adapter_keeps_what_it_is_given(dtype):
    classifier = HuggingFaceClassifier(tiny_network("bert").to(dtype), tiny_tokenizer())
    assert (classifier.dtype, classifier.model.dtype) == (dtype, dtype)


@KEPT
@pytest.mark.parametrize(("kept", "used"), [(torch.float64, torch.float64), (torch.bfloat16, torch.float32)])
def test_a_folder_is_read_in_its_own_precision_and_never_in_less_than_single(tmp_path, kept, used):
    folder = str(saved(tmp_path, tiny_network("bert").to(kept)))
    assert load_classifier(folder, "cpu", OWN).classifier.dtype == used
    assert FinishedModel(folder).prepare(None, "cpu", OWN).dtype == used
    own = faithbench.attribute(folder, TEXTS, "input_x_gradient", device="cpu")
    named = faithbench.attribute(f"classifier(path={folder})", TEXTS, "input_x_gradient", device="cpu", dtype=used)
    for one, other in zip(own, named, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


@KEPT
def test_weights_that_are_rounded_are_said_to_be(tmp_path):
    folder = str(saved(tmp_path, tiny_network("bert").double()))
    assert any("rounded to float32" in note for note in load_classifier(folder, "cpu", "float32").classifier.notes)
    assert not any("rounded" in note for note in load_classifier(folder, "cpu", "float64").classifier.notes)


def captums(classifier: HuggingFaceClassifier, ids: np.ndarray, explainer: str, target: int) -> np.ndarray:
    """What captum says of each dimension; its quadrature weights, which it rounds to float32, kept in float64."""
    rows = Row(ids), Row(np.full(len(ids), classifier.blank.id))
    own, base = (torch.tensor(one)[None] for one in classifier.embed(rows))
    read = torch_logits_from_embeddings(classifier, torch.tensor(ids).numpy())
    if explainer == "input_x_gradient":
        return attr.InputXGradient(read).attribute(own.requires_grad_(), target=target)[0].detach().numpy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            found = attr.IntegratedGradients(read).attribute(own, base, target=target, method="gausslegendre")
        finally:
            torch.set_default_dtype(torch.float32)
    return found[0].detach().numpy()


@pytest.mark.parametrize("explainer", ["integrated_gradients", "input_x_gradient"])
def test_explanations_in_double_precision_are_captums(explainer):
    classifier = HuggingFaceClassifier(in_double(), tiny_tokenizer())
    found = faithbench.attribute(in_double(), TEXTS, explainer, target=2, per_dimension=True, **AT_HAND)
    for one in found:
        expected = captums(classifier, classifier.encode(one.source).ids, explainer, 2)
        np.testing.assert_allclose(one.per_dimension, expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(one.scores, expected.sum(-1), rtol=0, atol=1e-10)


def test_a_precision_that_cannot_be_had_is_one_sentence():
    with pytest.raises(UserError, match="dtype='float65' is not allowed; use float32, float64, bfloat16, float16"):
        faithbench.attribute(tiny_network("bert"), TEXTS, dtype="float65", **AT_HAND)
    with pytest.raises(UserError, match="not allowed with a classifier that is ready, which computes in float32"):
        faithbench.attribute(tiny_classifier("bert"), TEXTS, dtype="float64")
    assert faithbench.attribute(tiny_classifier("bert", dtype=torch.float64), TEXTS, dtype="float64")


@pytest.mark.parametrize("explainer", EMBEDDED)
def test_dimensions_add_up_to_scores_or_to_their_norm(explainer):
    classifier = shared_classifier("bert", 1.5, 3, torch.float64)
    name, _, rest = explainer.partition("(")
    norm = f"{name}({rest.rstrip(')')}{', ' if rest else ''}aggregation=l2)"
    summed = faithbench.attribute(classifier, TEXTS, explainer, per_dimension=True)
    normed = faithbench.attribute(classifier, TEXTS, norm, per_dimension=True)
    for one, other in zip(summed, normed, strict=True):
        assert one.per_dimension.shape == (len(one.tokens), 16)
        assert not one.per_dimension.flags.writeable
        np.testing.assert_allclose(one.per_dimension.sum(axis=1), one.scores, atol=1e-12)
        np.testing.assert_array_equal(one.per_dimension, other.per_dimension)
        np.testing.assert_allclose(np.sqrt((one.per_dimension**2).sum(axis=1)), other.scores, atol=1e-12)
        assert one.notes == other.notes


def test_dimensions_of_a_linear_model_are_the_products():
    model = LinearModel.random()
    (found,) = faithbench.attribute(model, ["5 6 7"], "input_x_gradient", target=2, per_dimension=True)
    np.testing.assert_allclose(found.per_dimension, model.table[[1, 5, 6, 7, 1]] * model.weights[:, 2], atol=1e-15)
    (plain,) = faithbench.attribute(model, ["5 6 7"], "input_x_gradient", target=2)
    assert plain.per_dimension is None


@pytest.mark.parametrize(
    ("explainer", "sentence"),
    [
        ("lime", "explainer 'lime' has no scores per dimension; those that have are .*integrated_gradients"),
        ("sig", "sig needs n_steps"),
    ],
)
def test_explainers_without_dimensions_say_so(explainer, sentence):
    with pytest.raises(UserError, match=sentence):
        faithbench.attribute(shared_classifier("bert"), TEXTS, explainer, per_dimension=True)


IDENTITIES = {
    "bcos": "bcos(contrastive=False)",
    "input_x_gradient": "input_x_gradient(contrastive=False)",
    "saliency": "saliency(contrastive=False)",
    "attn_lrp": "attn_lrp(contrastive=False)",
    "integrated_gradients": "integrated_gradients(n_steps=50, baseline=mask, contrastive=False)",
    "sig": "sig(n_steps=0, baseline=mask, aggregation=sum, contrastive=False)",
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_records_from_before_there_were_norms_keep_their_names(name):
    assert spec.build("explainer", name).identity == IDENTITIES[name]


def test_norms_have_a_name_of_their_own_and_sum_to_nothing():
    norm = spec.build("explainer", "bcos(aggregation=l2)")
    assert norm.identity == "bcos(contrastive=False, aggregation=l2)"
    assert (norm.traits.sums_to, spec.build("explainer", "bcos").traits.sums_to) == ("", "logit")
    assert spec.build("explainer", "integrated_gradients(aggregation=l2)").traits.sums_to == ""


@pytest.mark.parametrize("explainer", EMBEDDED)
def test_there_are_two_aggregations(explainer):
    name = explainer.partition("(")[0]
    with pytest.raises(UserError, match="aggregation='mean' is not allowed; use sum or l2"):
        spec.build("explainer", f"{name}(aggregation=mean)")

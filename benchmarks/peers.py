"""The explainers of other libraries as their users run them: one function for each method and library.

Each is given the work and a batch size, None for the library's own default, and gives a score for each token of each
text; special tokens get 0 where the library gives them none. All explain the logit of the same class, but LIME, which
explains its probability everywhere. `explainers.py` measures them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain
from faithbench.conversations import Conversation, Outcome, together
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.spec import build
from faithbench.training.allocator import keep_freed_memory
from faithbench.types import Attribution, Target, Text

Scores = list[Float[np.ndarray, "tokens"]]
Peer = Callable[..., Scores]  # of the work and a batch size


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be explained, for which classes, and with how many samples."""

    classifier: HuggingFaceClassifier
    texts: Sequence[Text]
    targets: Sequence[int]
    permutations: int
    lime_samples: int
    kernel_samples: int
    steps: int

    def ids(self, *texts: Text) -> Int[Tensor, "texts tokens"]:
        """Token ids, padded on the right."""
        rows = [torch.from_numpy(text.ids) for text in texts]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=texts[0].pad_id)
        return padded.to(self.classifier.device)


def faithbench(work: Work, spec: str) -> Scores:
    """All texts through one engine, as in a run."""
    component = _component("explainer", spec)
    keep_freed_memory()

    def converse(text: Text, target: int) -> Conversation[tuple[str, Outcome[Attribution]]]:
        outcomes = yield from together({text.id: explain(component, text, Target(target), work.classifier.classes)})
        return text.id, outcomes[text.id]

    asked = (converse(text, target) for text, target in zip(work.texts, work.targets, strict=True))
    outcomes = dict(Engine(work.classifier).run(asked))
    failed = [outcome.error for outcome in outcomes.values() if outcome.value is None]
    if failed:
        raise RuntimeError(f"{spec}: {failed[0]}")
    return [outcomes[text.id].value.scores for text in work.texts]  # type: ignore[union-attr]


_component = cache(build)  # so that looking for it is not measured


# captum: over token ids. At its defaults all tokens of a text are players, and each row is a call; tuned, the content
# tokens are the players, and rows come in batches.


def captum_shap_sampl(work: Work, batch: int | None) -> Scores:
    made = import_module("captum.attr").ShapleyValueSampling
    return _captum_game(work, batch, made, n_samples=work.permutations)


def captum_lime(work: Work, batch: int | None) -> Scores:
    """Tuned, with ridge regression, since its lasso gives 0 to all tokens that change a probability by little."""
    made = import_module("captum.attr").Lime
    if batch is not None:
        made = partial(made, interpretable_model=import_module("captum._utils.models.linear_model").SkLearnRidge())
    return _captum_game(work, batch, made, probability=True, n_samples=work.lime_samples)


def captum_kernel_shap(work: Work, batch: int | None) -> Scores:
    made = import_module("captum.attr").KernelShap
    return _captum_game(work, batch, made, n_samples=work.kernel_samples)


def captum_occlusion(work: Work, batch: int | None) -> Scores:
    return _captum_game(work, batch, import_module("captum.attr").FeatureAblation)


def _captum_game(
    work: Work, batch: int | None, made: Callable[..., Any], probability: bool = False, **arguments: Any
) -> Scores:
    if batch is not None:
        arguments["perturbations_per_eval"] = batch
    out = []
    for text, target in zip(work.texts, work.targets, strict=True):
        whole, players = work.ids(text), np.arange(len(text)) if batch is None else text.content
        places = torch.from_numpy(players).to(whole.device)
        inputs = whole[:, places]
        found = made(partial(_outputs, work, whole, places, probability))
        with torch.inference_mode():
            given = found.attribute(inputs, torch.full_like(inputs, text.mask_id), target=target, **arguments)
        out.append(_placed(text, players, given[0]))
    return out


def _outputs(
    work: Work, whole: Int[Tensor, "1 t"], places: Int[Tensor, "players"], probability: bool, ids: Int[Tensor, "rows _"]
) -> Float[Tensor, "rows classes"]:
    rows = ids if ids.shape[1] == whole.shape[1] else whole.repeat(len(ids), 1).index_copy_(1, places, ids)
    logits: Tensor = work.classifier.model(input_ids=rows).logits
    return logits.softmax(-1) if probability else logits


# captum: gradients at the output of the embedding module.


def captum_integrated_gradients(work: Work, batch: int | None) -> Scores:
    """One text at a time; at its default all steps in one batch."""
    found = import_module("captum.attr").IntegratedGradients(partial(_read, work))
    out = []
    for text, target in zip(work.texts, work.targets, strict=True):
        ids = work.ids(text)
        given = _integral(work, found, batch, ids, torch.full_like(ids, text.mask_id), target)
        out.append(given.sum(-1)[0].cpu().numpy())
    return out


def captum_sig(work: Work, batch: int | None) -> Scores:
    """Integrated gradients with a path of its own for each token; tuned, of as many tokens at once as fit a batch."""
    found = import_module("captum.attr").IntegratedGradients(partial(_read, work))
    out = []
    for text, target in zip(work.texts, work.targets, strict=True):
        scores = []
        size = max(1, (batch or 1) // work.steps)
        for first in range(0, len(text), size):
            places = torch.arange(first, min(first + size, len(text)), device=work.classifier.device)
            ids = work.ids(text).repeat(len(places), 1)
            given = _integral(work, found, batch, ids, ids.scatter(1, places[:, None], text.mask_id), target)
            scores += given.sum(-1).gather(1, places[:, None]).flatten().tolist()
        out.append(np.array(scores))
    return out


def captum_saliency(work: Work, batch: int | None) -> Scores:
    return _captum_gradient(work, batch, import_module("captum.attr").Saliency)


def captum_input_x_gradient(work: Work, batch: int | None) -> Scores:
    return _captum_gradient(work, batch, import_module("captum.attr").InputXGradient)


def _captum_gradient(work: Work, batch: int | None, made: Callable[..., Any]) -> Scores:
    """One text at a time, or so many padded to one length."""
    found, out = made(partial(_read, work)), []
    for first in range(0, len(work.texts), batch or 1):
        texts = work.texts[first : first + (batch or 1)]
        ids = work.ids(*texts)
        lengths = torch.tensor([len(text) for text in texts], device=ids.device)
        mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
        own = work.classifier.embedded(ids).requires_grad_()
        targets = torch.tensor(work.targets[first : first + len(texts)], device=ids.device)
        given = found.attribute(own, target=targets, additional_forward_args=(ids, mask)).sum(-1)
        out += [scores[: len(text)].detach().cpu().numpy() for text, scores in zip(texts, given, strict=True)]
    return out


def _integral(
    work: Work, found: Any, batch: int | None, ids: Int[Tensor, "rows t"], baseline: Int[Tensor, "rows t"], target: int
) -> Float[Tensor, "rows t d"]:
    own, base = work.classifier.embedded(ids), work.classifier.embedded(baseline)
    settings = {"n_steps": work.steps, "method": "gausslegendre", "internal_batch_size": batch}
    given: Tensor = found.attribute(own, base, target=target, additional_forward_args=(ids,), **settings)
    return given.detach()


def _read(
    work: Work, embeddings: Float[Tensor, "rows t d"], ids: Int[Tensor, "rows t"], mask: Tensor | None = None
) -> Float[Tensor, "rows classes"]:
    with work.classifier.reading(embeddings):
        logits: Tensor = work.classifier.model(input_ids=ids, attention_mask=mask).logits
    return logits


# lime and shap: their users write the function that runs the model.


def lime_lime(work: Work, batch: int | None) -> Scores:
    """Words are its features, and their tokens get the word's score.

    At its defaults words are deleted, all strings go to the model in one call, and the 10 words with the largest
    weights are scored. Tuned, words are replaced by the mask token, strings go in batches, and all words are scored:
    that is what faithbench's `lime` does, but for words.
    """
    made = import_module("lime.lime_text").LimeTextExplainer
    settings: dict[str, Any] = {"random_state": 0}
    if batch is not None:
        settings |= {"bow": False, "mask_string": work.classifier.tokenizer.mask_token, "feature_selection": "none"}
    found, out = made(**settings), []
    probabilities = partial(_string_probabilities, work, batch)
    for text, target in zip(work.texts, work.targets, strict=True):
        sizes = {"num_samples": work.lime_samples} | ({} if batch is None else {"num_features": len(text)})
        given = found.explain_instance(text.source, probabilities, labels=(target,), **sizes)
        out.append(_of_words(work, text, given, target))
    return out


def _string_probabilities(work: Work, batch: int | None, strings: Sequence[str]) -> Float[np.ndarray, "rows classes"]:
    tokenizer, out = work.classifier.tokenizer, []
    size = batch or len(strings)
    for first in range(0, len(strings), size):
        chunk = list(strings[first : first + size])
        encoded = tokenizer(chunk, padding=True, truncation=True, return_tensors="pt").to(work.classifier.device)
        with torch.inference_mode():
            out.append(work.classifier.model(**encoded).logits.softmax(-1).cpu().numpy())
    return np.concatenate(out)


def _of_words(work: Work, text: Text, given: Any, target: int) -> Float[np.ndarray, "tokens"]:
    encoded = work.classifier.tokenizer(text.source, truncation=True, return_offsets_mapping=True)
    starts, ends = np.array(encoded["offset_mapping"]).T
    words, scores = given.domain_mapper.indexed_string, np.zeros(len(text))
    for feature, weight in given.as_map()[target]:
        for start in np.ravel(words.string_position(feature)):
            scores[(starts < start + len(words.word(feature))) & (ends > start)] = weight
    return scores


def shap_kernel_shap(work: Work, batch: int | None) -> Scores:
    """A text is a row of ones, its background a row of zeros. At its defaults it scores 10 tokens; tuned, all."""
    made, out = import_module("shap").KernelExplainer, []
    settings = {} if batch is None else {"l1_reg": False}
    for text, target in zip(work.texts, work.targets, strict=True):
        players = np.ones((1, len(text.content)))
        found = made(partial(_masked_logits, work, batch, text, target), 0 * players)
        given = found.shap_values(players, nsamples=work.kernel_samples, silent=True, **settings)
        out.append(_placed(text, text.content, given[0]))
    return out


def _masked_logits(
    work: Work, batch: int | None, text: Text, target: int, present: Float[np.ndarray, "rows players"]
) -> Float[np.ndarray, "rows"]:
    rows = np.tile(text.ids, (len(present), 1))
    rows[:, text.content] = np.where(present > 0.5, rows[:, text.content], text.mask_id)
    with torch.inference_mode():
        chunks = torch.split(torch.from_numpy(rows).to(work.classifier.device), batch or len(rows))
        logits = torch.cat([work.classifier.model(input_ids=chunk).logits for chunk in chunks])
    return logits[:, target].double().cpu().numpy()


# interpreto: all texts in one call, content tokens as players. Its gradients are taken at the word embeddings, before
# positions are added, and their absolute value is averaged over dimensions whatever the options: scores have no sign.


def interpreto_lime(work: Work, batch: int | None) -> Scores:
    found = _interpreto(work.classifier, "Lime", batch, mode="SOFTMAX", n_perturbations=work.lime_samples)
    return _explained(work, found)


def interpreto_kernel_shap(work: Work, batch: int | None) -> Scores:
    found = _interpreto(work.classifier, "KernelShap", batch, n_perturbations=work.kernel_samples)
    return _explained(work, found)


def interpreto_occlusion(work: Work, batch: int | None) -> Scores:
    return _explained(work, _interpreto(work.classifier, "Occlusion", batch))


def interpreto_saliency(work: Work, batch: int | None) -> Scores:
    """The gradient alone; by default its `Saliency` multiplies it by the embeddings."""
    return _explained(work, _interpreto(work.classifier, "Saliency", batch, input_x_gradient=False))


def interpreto_input_x_gradient(work: Work, batch: int | None) -> Scores:
    return _explained(work, _interpreto(work.classifier, "Saliency", batch, input_x_gradient=True))


def interpreto_integrated_gradients(work: Work, batch: int | None) -> Scores:
    """The path begins near 0 at its defaults; tuned, at the mask token, which it takes for one text at a time."""
    found = _interpreto(work.classifier, "IntegratedGradients", batch, n_perturbations=work.steps)
    if batch is None:
        return _explained(work, found)
    words = work.classifier.model.get_input_embeddings().weight.detach().cpu()
    out = []
    for text, target in zip(work.texts, work.targets, strict=True):
        found.perturbator.baseline = words[text.mask_id].expand(len(text), -1)
        out += _explained(work, found, [text], [target])
    return out


@cache  # so that making it, which copies the embedding table, is not measured
def _interpreto(
    classifier: HuggingFaceClassifier, name: str, batch: int | None, mode: str = "LOGITS", **arguments: Any
) -> Any:
    library, modes = import_module("interpreto"), import_module("interpreto.attributions").InferenceModes
    return getattr(library, name)(
        classifier.model,
        classifier.tokenizer,
        granularity=library.Granularity.TOKEN,
        inference_mode=modes[mode],
        device=classifier.device,
        **({} if batch is None else {"batch_size": batch}),
        **arguments,
    )


def _explained(
    work: Work, found: Any, texts: Sequence[Text] | None = None, targets: Sequence[int] | None = None
) -> Scores:
    texts, targets = texts or work.texts, targets or work.targets
    given = found.explain([text.source for text in texts], torch.tensor(targets))
    return [_placed(text, text.content, each.attributions[0]) for text, each in zip(texts, given, strict=True)]


def _placed(text: Text, places: Int[np.ndarray, "places"], given: Any) -> Float[np.ndarray, "tokens"]:
    scores = np.zeros(len(text))
    scores[places] = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
    return scores


PEERS: dict[str, dict[str, Peer]] = {
    "shap_sampl": {"captum": captum_shap_sampl},
    "lime": {"captum": captum_lime, "lime": lime_lime, "interpreto": interpreto_lime},
    "kernel_shap": {"captum": captum_kernel_shap, "shap": shap_kernel_shap, "interpreto": interpreto_kernel_shap},
    "occlusion": {"captum": captum_occlusion, "interpreto": interpreto_occlusion},
    "integrated_gradients": {"captum": captum_integrated_gradients, "interpreto": interpreto_integrated_gradients},
    "sig": {"captum": captum_sig},
    "saliency": {"captum": captum_saliency, "interpreto": interpreto_saliency},
    "input_x_gradient": {"captum": captum_input_x_gradient, "interpreto": interpreto_input_x_gradient},
}

"""What the walks need and would have from the network: a fine-tuned classifier, a CSV, a data set. All generated.

`python materials.py classifier FOLDER` makes FOLDER/my-model, a small BERT fine-tuned on generated reviews, and
FOLDER/reviews.csv, others of the same kind. `python materials.py hatexplain FOLDER` makes FOLDER/data/hatexplain with
generated posts in HateXplain's form.
"""

import csv
import os
import random
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pandas as pd
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

CLASSES = ("negative", "positive")
TELLING = (
    ("dreary", "awful", "tedious", "clumsy", "lifeless", "forgettable"),
    ("superb", "moving", "delightful", "gripping", "charming", "brilliant"),
)
OPENINGS = ("the plot is", "the acting feels", "this film was", "the ending seemed", "her direction is", "the music is")
FILLING = ("and", "on a rainy sunday", "in the second hour", "with friends", "though", "as ever", "at the cinema")
STEPS = 400
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def reviews(count: int, seed: int) -> list[tuple[str, int]]:
    """Sentences of two clauses: both say the same, or the second, which counts, says the opposite."""
    draws = random.Random(seed)
    return [_review(draws, number % 2) for number in range(count)]


def _review(draws: random.Random, label: int) -> tuple[str, int]:
    first, join = (label, "and") if draws.random() < 0.7 else (1 - label, "but")
    one, other = draws.choice(TELLING[first]), draws.choice(TELLING[label])
    text = f"{draws.choice(OPENINGS)} {one} {draws.choice(FILLING)} {join} {draws.choice(OPENINGS)} {other}"
    return f"{text} {draws.choice(FILLING)}", label


def words() -> list[str]:
    """All words of reviews."""
    told = " ".join([*OPENINGS, *FILLING, *TELLING[0], *TELLING[1], "but"])
    return sorted(set(told.split()))


def tokenizer() -> PreTrainedTokenizerFast:
    """A token a word."""
    names = [*SPECIAL, *words()]
    made = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **special)


def classifier(folder: Path) -> None:
    """Fine-tunes a small BERT as anybody would, half of the words masked now and then, and saves it."""
    torch.manual_seed(0)
    encode = tokenizer()
    names = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(encode), max_position_embeddings=64, pad_token_id=0, **sizes, **names)
    model = BertForSequenceClassification(config)
    texts, labels = zip(*reviews(640, seed=1), strict=True)
    rows = encode(list(texts), padding=True, return_tensors="pt")
    targets, optimiser = torch.tensor(labels), torch.optim.AdamW(model.parameters(), lr=2e-3)
    warm = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=STEPS)
    for step in range(STEPS):
        chosen = torch.randperm(len(texts))[:32]
        ids = rows["input_ids"][chosen]
        masked = (torch.rand(ids.shape) < 0.3 * (step % 2)) & (ids > 4)
        answer = model(ids.masked_fill(masked, 4), rows["attention_mask"][chosen], labels=targets[chosen])
        optimiser.zero_grad()
        answer.loss.backward()
        optimiser.step()
        warm.step()
    right = (model.eval()(**rows).logits.argmax(dim=1) == targets).float().mean()
    if right < 0.95:
        raise SystemExit(f"the classifier is right on only {right:.0%} of what it was trained on.")
    model.save_pretrained(folder / "my-model")
    encode.save_pretrained(folder / "my-model")
    with (folder / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *((text, CLASSES[i]) for text, i in reviews(200, seed=2))])


def hatexplain(folder: Path) -> None:
    """Three reviews of one class in the place of a post, long enough for documents; telling words are the rationale."""
    place = folder / "data/hatexplain"
    os.makedirs(place, exist_ok=True)
    for split, count in {"train": 600, "validation": 60, "test": 80}.items():
        pools = [iter([text for text, told in reviews(6 * count, seed=count) if told == label]) for label in (0, 1)]
        posts = [(" ".join(islice(pools[i % 2], 3)), i % 2) for i in range(count)]
        pd.DataFrame([_post(i, *post) for i, post in enumerate(posts)]).to_parquet(place / f"{split}.parquet")


def _post(number: int, text: str, label: int) -> dict[str, object]:
    tokens = text.split()
    marks = [int(label == 0 and token in TELLING[0]) for token in tokens]
    return {
        "id": f"post-{number}",
        "tokens": tokens,
        "label": 1 if label else 2,
        "rationale_union": marks,
        "rationale_majority": marks,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    makers: dict[str, Callable[[Path], None]] = {"classifier": classifier, "hatexplain": hatexplain}
    makers[sys.argv[1]](Path(sys.argv[2]))

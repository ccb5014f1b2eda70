"""`faithbench train`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.options import Device, Epochs, LabelColumn, Lr, PairColumn, TextColumn, with_columns
from faithbench.commands.output import err_console, out_console
from faithbench.console import say
from faithbench.plan import AUTO, Training


def train(
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A named model, such as bcos-minilm, 'bcos-bert(b=2.0)' or, a language model, bcos-gpt2.",
            autocompletion=names("model"),
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name, folder with train, validation and test files, or hub id.",
            autocompletion=names("dataset"),
        ),
    ],
    text: TextColumn = None,
    pair: PairColumn = None,
    label: LabelColumn = None,
    epochs: Epochs = None,
    limit: Annotated[int | None, typer.Option(help="Training texts used, drawn at random [default: all].")] = None,
    lr: Lr = None,
    batch_size: Annotated[int, typer.Option(help="Texts, or blocks of a language model, a step.")] = 16,
    max_length: Annotated[
        int,
        typer.Option(
            help="Tokens a text is cut to, now and later; of language models, which cut no text, of a block at most."
        ),
    ] = 512,
    eval_limit: Annotated[
        int | None, typer.Option(help="Texts to measure accuracy or perplexity on [default: all].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Part of the model's name [default: 42].")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="lm or classification, as the model's own [default]."),
    ] = None,
    masking: Annotated[
        str | None, typer.Option(help="Likewise; half: half of each batch is masked [default: none; tiny: half].")
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="float32, or bf16: autocast, faster on large models where the device has bfloat16; auto: bf16 for "
            "language models on a GPU that has it, else float32."
        ),
    ] = AUTO,
    gradient_accumulation_steps: Annotated[
        int, typer.Option(help="Parts in which a batch is read, for less memory; a step is of --batch-size texts.")
    ] = 1,
    dataloader_num_workers: Annotated[int, typer.Option(help="Processes that put batches together.")] = 0,
    device: Device = None,
) -> None:
    """Train a named model; a killed training continues."""
    training = Training(
        epochs,
        limit,
        lr,
        batch_size,
        max_length,
        eval_limit,
        precision,
        gradient_accumulation_steps,
        dataloader_num_workers,
    )
    (dataset,) = with_columns([dataset], text, pair, label)
    folder, report = faithbench.train(
        model, dataset, training, seed=seed, masking=masking, task=task, device=device, console=err_console
    )
    say(out_console, f"{_reached(report)} Checkpoint: {folder}", whole=True)


def _reached(report: Mapping[str, Any]) -> str:
    """How good the model is, in a sentence."""
    if "test" in report:
        test, texts = report["test"], report["texts"]["test"]
        return (
            f"Test accuracy {test['accuracy']:.2f} %, balanced {test['balanced_accuracy']:.2f} %, on {texts:,} texts."
        )
    own, start = report["validation"], report.get("start", {}).get("validation")
    if "loss_recovered" in own:
        return (
            f"{own['loss_recovered']:.2f} % of the loss recovered, on {own['tokens']:,} tokens: perplexity "
            f"{own['perplexity']:,.2f}, {start['perplexity']:,.2f} of the model as it is; {own['l0']:.1f} of "
            f"{own['latents']:,} latents are active at a token, {own['dead']:,} never."
        )
    before = "" if start is None else f" ({start['perplexity']:,.2f} of the model that was converted)"
    return f"Validation perplexity {own['perplexity']:,.2f}{before}, on {own['tokens']:,} tokens."

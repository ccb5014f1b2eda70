"""`faithbench train`."""

from typing import Annotated

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.options import Device, Epochs, LabelColumn, Lr, PairColumn, TextColumn, with_columns
from faithbench.commands.output import err_console, out_console
from faithbench.console import say
from faithbench.plan import Training


def train(
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A named model, such as bcos-minilm or 'bcos-bert(b=2.0)'.",
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
    batch_size: Annotated[int, typer.Option(help="Texts a step.")] = 16,
    max_length: Annotated[int, typer.Option(help="Tokens a text is cut to, now and later.")] = 512,
    eval_limit: Annotated[int | None, typer.Option(help="Texts to measure accuracies on [default: all].")] = None,
    seed: Annotated[int | None, typer.Option(help="Part of the model's name [default: 42].")] = None,
    masking: Annotated[
        str | None, typer.Option(help="Likewise; half: half of each batch is masked [default: none; tiny: half].")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="float32, or bf16: autocast, faster on large models where the device has bfloat16.")
    ] = "float32",
    gradient_accumulation_steps: Annotated[
        int, typer.Option(help="Parts in which a batch is read, for less memory; a step is of --batch-size texts.")
    ] = 1,
    dataloader_num_workers: Annotated[int, typer.Option(help="Processes that put batches together.")] = 0,
    device: Device = None,
) -> None:
    """Fine-tune a named model; a killed training continues."""
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
        model, dataset, training, seed=seed, masking=masking, device=device, console=err_console
    )
    test = report["test"]
    say(
        out_console,
        f"Test accuracy {test['accuracy']:.2f} %, balanced {test['balanced_accuracy']:.2f} %, "
        f"on {report['texts']['test']:,} texts. Checkpoint: {folder}",
        whole=True,
    )

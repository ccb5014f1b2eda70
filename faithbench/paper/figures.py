"""Which figures of the paper runs can be drawn as, and what they need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from faithbench.errors import UserError, unknown
from faithbench.paper.choose_backbone import choose_backbone
from faithbench.paper.departures import Shown, departures
from faithbench.paper.figure import PaperFigure
from faithbench.paper.figure2 import accuracies
from faithbench.paper.figure13 import ALIGNMENT, alignments
from faithbench.paper.figures5_6 import RATE, SHARE, of_bias, over_b
from faithbench.paper.fill_table import needed, published_table
from faithbench.paper.layouts import COMP, ENTROPY, LAYOUTS
from faithbench.paper.matching import is_dataset, is_named, same, source_of
from faithbench.paper.run_data import RunData, run_data_of
from faithbench.paper.trainings import TrainedModel

OF_HATEXPLAIN = ("figure5", "figure6")
SWEEP = "faithbench run --model 'bcos-*(b=1.0)' --model bcos-* … --dataset hatexplain --explainer bcos"


@dataclass(frozen=True)
class Kind:
    """How the data of a figure is made, which metrics it needs, and the command that a user may have missed."""

    data: Callable[[RunData], PaperFigure]
    needs: Callable[[str], bool]
    command: str


KINDS: Mapping[str, Kind] = {
    "figure2": Kind(accuracies, lambda _: False, "faithbench run --model conv-minilm --model bcos-minilm --dataset …"),
    "figure5": Kind(
        over_b,
        lambda full: any(same("metric", full, each.metric) for each in (COMP, ENTROPY)),
        f"{SWEEP} --metric '{COMP.metric}' --metric {ENTROPY.metric}",
    ),
    "figure6": Kind(
        of_bias,
        lambda full: is_named(full, RATE) or is_named(full, SHARE),
        f"{SWEEP} --model conv-* --metric {RATE} --metric '{RATE}(of=label)' --metric {SHARE}",
    ),
    "figure13": Kind(
        alignments,
        lambda full: is_named(full, ALIGNMENT),
        f"faithbench run --model conv-* --model bcos-* --dataset … --explainer bcos --metric {ALIGNMENT}",
    ),
}


def paper_figure(folders: Sequence[Path | str], like: str, backbone: str | None = None) -> PaperFigure:
    """The data of a figure of arXiv 2502.12992, from runs; models that differ in their seed alone are one.

    Args:
        folders: of the runs.
        like: `figure2`, `figure5`, `figure6` or `figure13`; `table2` to `table8` for our numbers against those.
        backbone: whose models are shown; may be left out if the runs hold only one. Figure 2 shows all.

    Raises:
        UserError: no such figure or backbone, several backbones, or the runs hold nothing of what it shows.
    """
    if like in LAYOUTS:
        return _against(folders, like, backbone)
    if like not in KINDS:
        raise unknown("figure or table of the paper", like, (*KINDS, *LAYOUTS))
    kind, found = KINDS[like], run_data_of(folders)
    if like != "figure2" or backbone is not None:
        found = needed(found, choose_backbone(found.models, backbone, like), kind.needs)
    figure, left_out = kind.data(found), found.left_out if found.backbone else ()
    if figure.ours.empty:
        command = kind.command.replace("*", found.backbone)
        but = "".join(f" ({each.removesuffix('.')})" for each in left_out)
        raise UserError(f"the runs hold nothing of what {like} shows{but}; what it needs is made by: {command}.")
    series = frozenset(figure.data["series"]) if "series" in figure.data else frozenset()
    shown = Shown(like, found.backbone, found.records, _trainings(found, like), series)
    return replace(figure, notes=figure.notes + left_out + tuple(departures(shown)))


def _against(folders: Sequence[Path | str], like: str, backbone: str | None) -> PaperFigure:
    """A published table as a figure: each number of ours with its interval, and the paper's."""
    table = published_table(folders, like, backbone)
    data = table.beside()
    if not data["value"].notna().any():
        raise UserError(
            f"the runs hold nothing of what {like} shows; faithbench table --like {like} says what it needs."
        )
    return PaperFigure(like, data, table.notes)


def _trainings(found: RunData, like: str) -> tuple[TrainedModel, ...]:
    """Those of the models that a figure shows."""
    if like not in OF_HATEXPLAIN:
        return found.trainings
    return tuple(each for each in found.trainings if is_dataset(source_of(each.dataset), "hatexplain"))

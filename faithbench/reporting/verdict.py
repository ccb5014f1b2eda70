"""What a contest of explainers comes to, in sentences made by rule: whom to trust, whom not, and on how many texts.

An explainer is trusted if it is in the first rank group and shown to be better than random scores, by the tests of the
table. What is not shown is said to be not shown.
"""

import math
from collections.abc import Iterator, Sequence

from faithbench.reporting.contest import Contest, Entrant
from faithbench.reporting.wording import figure
from faithbench.shown import listed
from faithbench.statistics.verdicts import ALPHA

NOTHING = "No metric here says which explainer is better, so there is no verdict."
NOT_MEASURED = "random scores were not measured (--explainer random)"
TOO_FEW = "random scores were measured on too few texts"
HEADLINE = 150  # characters that can be read at a glance


def verdict(found: Contest | None) -> str:
    """The verdict in one sentence, with the number of texts and the difference that they detect."""
    parts = _parts(found)
    return parts[0] if found is None or not _ranked(found) else f"{'; '.join(parts)} ({_evidence(found)})."


def headline(found: Contest | None) -> tuple[str, str]:
    """The verdict as a headline and what stands smaller below it: nothing, unless it is too long for a headline."""
    whole, parts = verdict(found), _parts(found)
    if found is None or len(whole) <= HEADLINE or len(parts) == 1:
        return whole, ""
    than = "better than random by " if any(each.beats_random for each in trusted(found)) else ""
    rest = " ".join(f"{'N' if each.startswith('not ') else each[0]}{each[1:]}." for each in parts[1:])
    return f"{parts[0]} ({than}{_evidence(found)}).", rest


def remarks(found: Contest | None) -> Iterator[str]:
    """What else is to be said, a sentence each: who is not ranked and why, and what the numbers mean."""
    if found is None:
        return
    left = [f"{each.label} ({each.n:,} of {found.texts:,} texts)" for each in found.judged if not each.group]
    if left and any(each.group for each in found.judged):
        yield f"Not ranked, for want of texts that all were measured on: {listed(left)}."
    equal = [f"{each.label} = {each.equal_to}" for each in found.judged if each.equal_to]
    if equal:
        yield f"The same scores on all texts, so one place for both: {'; '.join(equal)}."
    if math.isfinite(found.detects):
        yield (
            f"Detects {figure(found.detects)}: {found.texts:,} texts would have shown a true difference of that size "
            f"between two explainers 8 times in 10, at {100 * ALPHA:.0f} % over all pairs (the median over these)."
        )


def trusted(found: Contest) -> list[Entrant]:
    """Those that the verdict trusts; where random scores were not measured, the best."""
    best = [each for each in found.judged if each.group == 1]
    random = found.random
    return best if random is None or not random.group else [each for each in best if each.beats_random]


def _ranked(found: Contest) -> list[Entrant]:
    return [each for each in found.judged if each.group]


def _parts(found: Contest | None) -> list[str]:
    """What the verdict says, the most important first."""
    if found is None:
        return [NOTHING]
    if not found.judged:
        return [f"Only random scores were measured, so there is nothing to judge ({_evidence(found)})."]
    if not (ranked := _ranked(found)):
        return [_too_few(found)]
    random = found.random
    if random is None or not random.group:
        return [_without_random(found, ranked, NOT_MEASURED if random is None else TOO_FEW)]
    return _with_random(found, ranked)


def _evidence(found: Contest) -> str:
    detects = f", detects {figure(found.detects)}" if math.isfinite(found.detects) else ""
    return f"{found.label}, n = {found.texts:,}{detects}"


def _too_few(found: Contest) -> str:
    names = listed([each.label for each in found.judged])
    if found.texts < found.needed:
        return (
            f"No verdict: {found.texts:,} text{'s are' if found.texts != 1 else ' is'} too few to rank {names}, which "
            f"takes {found.needed} by {found.label}."
        )
    return f"No verdict: {names} have too few values by {found.label} on the same texts (n = {found.texts:,})."


def is_behind(found: Contest, each: Entrant, others: Sequence[Entrant]) -> bool:
    """Whether all of the others are shown to be better; groups do not say that, for ties are not passed on."""
    gaps = [found.found.of(other.place, each.place) for other in others]
    return all(gap is not None and gap.is_better for gap in gaps)


def _without_random(found: Contest, ranked: Sequence[Entrant], why: str) -> str:
    first, rest = [each for each in ranked if each.group == 1], [each for each in ranked if each.group > 1]
    best, (behind, partly) = _names(first), _parted(found, rest, first)
    if len(ranked) == 1:
        return f"Only {best[0]} was measured, and there is nothing to compare it with: {why}"
    several = len(best) > 1
    known = f"it is not known whether {'they beat' if several else 'it beats'} chance, for {why}"
    if not rest:
        return f"{listed(best)} cannot be told apart; {known}"
    led = f"{listed(best)} {'are the best and cannot be told apart' if several else 'is the best'}"
    ahead = f", ahead of {listed(behind)}" if behind else ""
    some = f"; {listed(partly)} {_is(partly)} behind some of the best" if partly else ""
    return f"{led}{ahead}{some}; {known}"


def _with_random(found: Contest, ranked: Sequence[Entrant]) -> list[str]:
    first = [each for each in ranked if each.group == 1]
    good = [each for each in first if each.beats_random]
    second = [each for each in ranked if each.group > 1 and each.beats_random]
    best, (behind, partly) = _names(good), _parted(found, second, first)
    worse = _names([each for each in ranked if each.from_random is not None and each.from_random.is_worse])
    level = [each.label for each in ranked if not each.beats_random and each.label not in worse]
    tail = [
        f"not {_or(level)}, which {_is(level)} not shown to beat random" if level else "",
        f"not {_or(worse)}, which {_is(worse)} worse than random" if worse else "",
    ]
    if best:
        alone = ", the best" if len(ranked) > 1 and len(first) == 1 else ""
        apart = ", which cannot be told apart" if len(best) > 1 else alone
        more = [_beaten(behind, "behind"), _beaten(partly, "behind some of the best")]
        return list(filter(None, [f"Trust {listed(best)}{apart}", *more, *tail]))
    if second:
        names = _names(second)
        return [f"Trust none yet: of the best none is shown to beat random, though {listed(names)} {_does(names)}"]
    none = "none is shown to beat random" if len(level) > 1 else "it is not shown to beat random"
    if not level:
        return [f"Do not trust {_or(worse)}: {'all are' if len(worse) > 1 else 'it is'} worse than random"]
    return list(filter(None, [f"Do not trust {_or(level)}: {none}", tail[1]]))


def _beaten(names: Sequence[str], how: str) -> str:
    beat = "beats" if len(names) == 1 else "beat"
    return f"{listed(names)} {beat} random too, but {_is(names)} {how}" if names else ""


def _parted(found: Contest, entrants: Sequence[Entrant], best: Sequence[Entrant]) -> tuple[list[str], list[str]]:
    """The names of those that all of the best are shown to beat, and of the others."""
    behind = [each.label for each in entrants if is_behind(found, each, best)]
    return behind, [each.label for each in entrants if each.label not in behind]


def _names(entrants: Sequence[Entrant]) -> list[str]:
    return [each.label for each in entrants]


def _or(names: Sequence[str]) -> str:
    return listed(names, "or")


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _does(names: Sequence[str]) -> str:
    return "does" if len(names) == 1 else "do"

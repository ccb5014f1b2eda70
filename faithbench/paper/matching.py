"""Matching of specs: is a recorded component the one looked for? A parameter that is missing has its default."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from faithbench.errors import UserError
from faithbench.plugins import finding, spec
from faithbench.records.manifest import DOCUMENTS

MISSING = object()
Keys = Callable[[str], bool]


def every(key: str) -> bool:
    """All parameters."""
    return True


def but_seed(key: str) -> bool:
    """All parameters except the seed."""
    return key != "seed"


def of_models(models: Iterable[str]) -> Keys:
    """The parameters by which models are told apart.

    Not the seed; nor how they were masked where all were alike, nor on whose texts masked language modelling was done
    where all that had it read the same. Models that are made of another, such as `calibrated(…)`, have no say in it.
    """
    every = [each for each in models if "model" not in _parsed(each)[2]]
    read = [each for each in every if value_of("model", each, "start") == "mlm"]
    shared = {"seed"}
    for key, concerned in (("masking", every), ("mlm_data", read)):
        if len({value_of("model", each, key) for each in concerned}) == 1:
            shared.add(key)
    return lambda key: key not in shared


def same(kind: str, full: str, wanted: str, keys: Keys = every) -> bool:
    """Whether two specs have one name, and equal values of the parameters that count."""
    (name, args, given), (asked, _, told) = _parsed(full), _parsed(wanted)
    return name == asked != "" and not args and not differences(kind, name, given, told, keys)


def is_named(full: str, name: str) -> bool:
    """Whether a spec has this name."""
    return name_of(full) == name


def name_of(full: str) -> str:
    """The name of a spec; empty if it is none."""
    return _parsed(full)[0]


def differences(
    kind: str, name: str, given: Mapping[str, object], told: Mapping[str, object], keys: Keys = every
) -> list[str]:
    """The parameters in which two specs of one name differ."""
    defaults = _defaults(kind, name, tuple(sys.path))
    return [
        key
        for key in {**given, **told}
        if keys(key) and given.get(key, defaults.get(key, MISSING)) != told.get(key, defaults.get(key, MISSING))
    ]


def setting(kind: str, full: str, wanted: str, keys: Keys = every) -> tuple[str, str] | None:
    """In what two specs of one name differ, such as `lime(n_samples=300)` and `lime(n_samples=3000)`; None: nothing."""
    (name, _, given), (_, _, told) = _parsed(full), _parsed(wanted)
    apart, defaults = differences(kind, name, given, told, keys), _defaults(kind, name, tuple(sys.path))
    if not apart:
        return None
    both = [{**{key: defaults[key] for key in apart if key in defaults}, **each} for each in (given, told)]
    one, other = (spec.write(name, {key: each[key] for key in apart if key in each}) for each in both)
    return one, other


def value_of(kind: str, full: str, key: str) -> Any:
    """A parameter of a recorded component; if it is missing what it was formerly, or else its default."""
    name, _, given = _parsed(full)
    path = tuple(sys.path)
    return given.get(key, {**_defaults(kind, name, path), **_formerly(kind, name, path)}.get(key))


def is_dataset(full: str, wanted: str) -> bool:
    """Whether a data set is the one of that name with its usual parameters."""
    return same("dataset", full, wanted)


def are_documents(full: str, wanted: str) -> bool:
    """Whether a data set holds documents of the Sequence Pointing Game made of the texts of that data set."""
    return is_named(full, DOCUMENTS) and is_dataset(source_of(full), wanted)


def source_of(full: str) -> str:
    """The data set that a data set's texts are from, and that its models are trained on: itself but for documents."""
    source = value_of("dataset", full, "dataset") if is_named(full, DOCUMENTS) else full
    return source if isinstance(source, str) else full


@functools.cache
def _parsed(text: str) -> tuple[str, Sequence[object], Mapping[str, object]]:
    """Name and parameters of a spec; no name if it is none, such as a folder or hub id. Tables ask often."""
    try:
        return spec.parse(text)
    except UserError:
        return "", (), {}


@functools.cache
def _defaults(kind: str, name: str, path: tuple[str, ...]) -> Mapping[str, object]:
    """Of a component, if it can be had from where packages are looked for."""
    try:
        signature = inspect.signature(finding.get(kind, name).load())
    except (UserError, TypeError, ValueError):
        return {}
    return {key: p.default for key, p in signature.parameters.items() if p.default is not inspect.Parameter.empty}


@functools.cache
def _formerly(kind: str, name: str, path: tuple[str, ...]) -> Mapping[str, object]:
    """What a component says of parameters that are younger than some of its results."""
    try:
        return dict(getattr(finding.get(kind, name).load(), "formerly", ()))
    except UserError:
        return {}

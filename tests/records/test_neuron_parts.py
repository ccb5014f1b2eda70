"""Parts of neurons that another process joins while they are read."""

import pytest
from kept_neurons import CELL, neuron_of

from faithbench.errors import UserError
from faithbench.records import neuron_parts
from faithbench.records.kept_parts import add_kept
from faithbench.records.neuron_parts import compact, neuron_row, read_neurons
from faithbench.records.store import Store


@pytest.fixture
def parts(tmp_path):
    store = Store(tmp_path).open()
    for number in range(3):
        add_kept(store, "neurons", [neuron_row(CELL, neuron_of(0, number))])
    return store


def test_parts_that_are_joined_while_they_are_read_are_read_again(parts, monkeypatch):
    check, joined = neuron_parts._check, []

    def joins(path, kind, table):
        if not joined:
            joined.append(True)
            compact(parts)
        check(path, kind, table)

    monkeypatch.setattr(neuron_parts, "_check", joins)
    assert {unit.rpartition(":")[2] for unit in read_neurons([parts.folder]).of(CELL)} == {"0", "1", "2"}
    assert len(list((parts.folder / "neurons").glob("*.parquet"))) == 1


def test_a_link_to_nothing_is_no_part_that_comes_back(parts):
    (parts.folder / "neurons" / "0.parquet").symlink_to(parts.folder / "nothing")
    with pytest.raises(UserError, match="keeps changing, or holds a link to nothing"):
        read_neurons([parts.folder]).of(CELL)

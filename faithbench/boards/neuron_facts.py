"""What a board keeps of neurons beside their records: numbers that tables are made of, and no text of any document."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from faithbench.records.columns import KEPT, KEPT_IDENTITY, PLACE
from faithbench.records.neuron_parts import parts_of
from faithbench.records.store import Store

LEFT_OUT = {"neurons": {"windows": "[]"}, "descriptions": {"text": "", "simulated": "[]"}}  # and what stands for it


def neuron_facts(runs: Sequence[Path], records: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Files of how often neurons fire and how long descriptions are, of the models and data of records.

    Windows, descriptions and simulations stay with the runs, as texts do.
    """
    there = pd.MultiIndex.from_frame(records[PLACE].astype(str).drop_duplicates())
    for kind, instead in LEFT_OUT.items():
        columns = [name for name in KEPT[kind].names if name not in instead]
        parts = [part.to_pandas() for run in runs for part in parts_of(Store(run), kind, columns)]
        if not parts:
            continue
        every = pd.concat(parts, ignore_index=True).drop_duplicates(list(KEPT_IDENTITY[kind]), keep="last")
        mine = every[pd.MultiIndex.from_frame(every[PLACE].astype(str)).isin(there)]
        if "error" in mine:
            mine = mine[mine["error"].isna()]
        mine = mine.sort_values(list(KEPT_IDENTITY[kind]), kind="stable").assign(**instead)
        sink = pa.BufferOutputStream()
        table = pa.Table.from_pandas(mine[KEPT[kind].names], schema=KEPT[kind], preserve_index=False)
        pq.write_table(table, sink, compression="zstd", compression_level=19)
        yield f"{kind}/{kind}.parquet", sink.getvalue().to_pybytes()

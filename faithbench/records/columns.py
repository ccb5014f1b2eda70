"""The columns of attributions and records: which there are, and which are an entry's identity."""

import pyarrow as pa

CELL = [
    ("dataset", pa.string()),
    ("dataset_fingerprint", pa.string()),
    ("model", pa.string()),
    ("model_fingerprint", pa.string()),
    ("explainer", pa.string()),
]
TARGET = [("target", pa.int64()), ("against", pa.int64())]
END = [("seconds", pa.float64()), ("rows", pa.int64()), ("error", pa.string())]
SCHEMAS = {
    "attributions": pa.schema(
        [
            *CELL,
            ("version", pa.string()),
            ("text_id", pa.string()),
            *TARGET,
            ("scores", pa.list_(pa.float64())),
            ("standard_errors", pa.list_(pa.float64())),
            ("notes", pa.string()),
            *END,
        ]
    ),
    "records": pa.schema(
        [
            *CELL,
            ("metric", pa.string()),
            ("version", pa.string()),
            ("unit", pa.string()),
            *TARGET,
            ("value", pa.float64()),
            ("parts", pa.list_(pa.float64())),
            ("weight", pa.float64()),
            *END,
        ]
    ),
}
TARGETS = tuple(name for name, _ in TARGET)
IDENTITY = {
    "attributions": [*(name for name, _ in CELL), "version", "text_id", *TARGETS],
    "records": [*(name for name, _ in CELL), "metric", "version", "unit", *TARGETS],
}
MEASURED = {"attributions": "scores", "records": "value"}
ADDED = ("against",)  # columns that older parts lack, and all is None
IN_FILES = {"records": {"unit": "text_id"}}  # columns that files name otherwise, as they always have
LARGEST = 2**32  # bytes of a part


def as_in_files(kind: str, table: pa.Table) -> pa.Table:
    """The table with the columns' names that files have."""
    names = IN_FILES.get(kind, {})
    return table.rename_columns([names.get(name, name) for name in table.column_names])

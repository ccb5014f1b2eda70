"""The columns of attributions and records: which there are, and which are an entry's identity."""

import pyarrow as pa

CELL = [
    ("dataset", pa.string()),
    ("dataset_fingerprint", pa.string()),
    ("model", pa.string()),
    ("model_fingerprint", pa.string()),
    ("explainer", pa.string()),
]
PLACE = [name for name, _ in CELL[:-1]]  # a model on a data set
DATA = PLACE[:2]
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
    "attributions": [*PLACE, "explainer", "version", "text_id", *TARGETS],
    "records": [*PLACE, "explainer", "metric", "version", "unit", *TARGETS],
}
MEASURED = {"attributions": "scores", "records": "value"}
ADDED = ("against",)  # columns that older parts lack, and all is None
IN_FILES = {"records": {"unit": "text_id"}}  # columns that files name otherwise, as they always have
LARGEST = 2**32  # bytes of a part
TRUTHS, WHOLE, NUMBERS = pa.list_(pa.bool_()), pa.list_(pa.int64()), pa.list_(pa.float64())
KEPT = {  # what is kept beside entries, for people to look at
    "texts": pa.schema(
        [
            ("dataset", pa.string()),
            ("dataset_fingerprint", pa.string()),
            ("tokenizer", pa.string()),
            ("text_id", pa.string()),
            ("source", pa.string()),
            ("pair", pa.string()),
            (
                "tokens",
                pa.string(),
            ),  # a JSON list: Arrow reads no lists of texts that are dictionaries in several groups
            ("offsets", WHOLE),
            ("truncated", pa.bool_()),
            ("segment_classes", WHOLE),
            ("ids", WHOLE),
            ("special", TRUTHS),
            ("words", WHOLE),
            ("types", WHOLE),
            ("segments", WHOLE),
            ("evidence", TRUTHS),
            ("rationale", TRUTHS),
            ("rationale_majority", TRUTHS),
            ("responsibility", NUMBERS),
            ("shapley", NUMBERS),
            ("candidates", WHOLE),  # of next-token questions, as are those below; earlier parts have none
            ("good", pa.string()),
            ("bad", pa.string()),
        ]
    ),
    "predictions": pa.schema(
        [
            *CELL[:4],
            ("tokenizer", pa.string()),
            ("text_id", pa.string()),
            ("predicted", pa.int64()),
            ("probabilities", NUMBERS),
            ("label", pa.int64()),
            ("labels", WHOLE),
            ("value", pa.float64()),
            ("mask_id", pa.int64()),
            ("pad_id", pa.int64()),
            ("read", pa.int64()),
            ("link", pa.string()),
            ("outputs", WHOLE),
        ]
    ),
    "neurons": pa.schema(
        [
            *CELL[:4],
            ("unit", pa.string()),
            ("layer", pa.int64()),
            ("number", pa.int64()),
            ("site", pa.string()),
            ("density", pa.float64()),
            ("mean", pa.float64()),
            ("deviation", pa.float64()),
            ("largest", pa.float64()),
            ("tokens", pa.int64()),
            ("windows", pa.string()),  # a JSON list of objects
        ]
    ),
    "descriptions": pa.schema(
        [
            *CELL,
            ("version", pa.string()),
            ("unit", pa.string()),
            ("text", pa.string()),
            ("bits", pa.float64()),
            ("simulated", pa.string()),  # a JSON list of lists
            ("error", pa.string()),
        ]
    ),
}
KEPT_IDENTITY = {
    "texts": ("dataset", "dataset_fingerprint", "tokenizer", "text_id"),
    "predictions": (*PLACE, "tokenizer", "text_id"),
    "neurons": (*PLACE, "unit"),
    "descriptions": (*PLACE, "explainer", "version", "unit"),
}


def as_in_files(kind: str, table: pa.Table) -> pa.Table:
    """The table with the columns' names that files have."""
    names = IN_FILES.get(kind, {})
    return table.rename_columns([names.get(name, name) for name in table.column_names])

"""What a head says, by its configuration: one class of several, any of several labels, or a value."""

from faithbench.errors import UserError
from faithbench.tasks import Classification, MultiLabel, Read, Regression, Task

PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")  # words of transformers


def task_of(outputs: int, problem_type: str | None, read: Read) -> Task:
    """The task of a model.

    Args:
        outputs: how many it has.
        problem_type: of its configuration, or what its user says it is; None where nobody says: one output is a value
            then, several are classes.
        read: the position that its head reads.

    Raises:
        UserError: there is no such type, or one output cannot be a class of several.
    """
    if problem_type not in (None, *PROBLEMS):
        raise UserError(f"problem_type={problem_type!r} is not allowed; use {', '.join(PROBLEMS)}.")
    if problem_type == "single_label_classification" and outputs == 1:
        raise UserError(
            "one output cannot be one class of several; it is a `regression` or `multi_label_classification`."
        )
    if problem_type == "multi_label_classification":
        return MultiLabel(read)
    return Regression(read) if problem_type == "regression" or outputs == 1 else Classification(read)

"""Functions that stand in for a language model which describes neurons."""

asked: list[str] = []


def animals(prompt: str) -> str:
    """Says 9 of each cat, whatever it is told a neuron is active at."""
    asked.append(prompt)
    if not prompt.endswith("Activations:\n"):
        return " names of animals\nand more"
    tokens = prompt.rpartition("Tokens:\n")[2].removesuffix("\nActivations:\n").split("\n")
    return "\n".join(f"{token}\t{9 * ('cat' in token)}" for token in tokens)


def fenced(prompt: str) -> str:
    return f"```\n{animals(prompt)}\n```\n"


def silent(prompt: str) -> str:
    return " \n"


def number(prompt: str) -> str:
    return 7  # type: ignore[return-value]


no_function = 3

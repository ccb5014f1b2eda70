"""What parameters may be: each check raises a ValueError that gives the name, the value and what is allowed."""


def check_count(name: str, value: int, most: int, least: int = 1) -> None:
    """A number of samples or steps that makes sense."""
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name}={value!r} is not allowed; it must be from {least:,} to {most:,}.")


def check_positive(name: str, value: float) -> None:
    """A number above 0."""
    if not value > 0:
        raise ValueError(f"{name}={value!r} is not allowed; it must be above 0.")


def check_seed(seed: int) -> None:
    """A seed that numpy takes."""
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed={seed!r} is not allowed; it must be at least 0.")

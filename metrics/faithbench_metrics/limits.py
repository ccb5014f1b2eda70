"""What parameters of metrics may be: each check raises a ValueError that names it, its value and what is allowed."""


def check_whole(name: str, value: int, least: int, most: int) -> None:
    """A whole number within limits."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name}={value!r} is not allowed; it must be a whole number from {least:,} to {most:,}.")


def check_seed(value: int) -> None:
    """A seed that every generator takes."""
    check_whole("seed", value, 0, 2**32 - 1)

"""What goes wrong inside a plugin, whatever it is, as one sentence about that plugin."""

from collections.abc import Iterator
from contextlib import contextmanager

from faithbench.errors import UserError, describe, words_of

WORDS = 160  # characters of an error that are repeated


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Runs a plugin's code: whatever it raises, short of KeyboardInterrupt, becomes a sentence that begins with `what`.

    Args:
        what: which plugin fails at what, such as "metric 'lamp' of lab 1.0 cannot be loaded".

    Raises:
        UserError: the plugin raised something. A UserError, which is a sentence already, is passed on.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except UserError as error:
        raise UserError(words_of(error)) from error
    except BaseException as error:  # a plugin may fail in any way, also by ending the program
        raise UserError(f"{what} ({describe(error, WORDS)}).") from error

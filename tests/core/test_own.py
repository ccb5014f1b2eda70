"""Copies for components: nothing of one is in another, and nobody can write into either."""

import numpy as np
import pytest
from builders import attribution, text

ONE = text([1, 5, 6, 7, 1])


@pytest.mark.parametrize("one", [ONE, attribution(ONE, [0.0, 1.0, 2.0, 3.0, 0.0])], ids=["text", "attribution"])
def test_a_copy_has_arrays_of_its_own_that_nobody_can_write_into(one):
    own = one.own()
    arrays = {name: array for name, array in vars(one).items() if isinstance(array, np.ndarray)}
    assert arrays
    for name, array in arrays.items():
        copy = getattr(own, name)
        np.testing.assert_array_equal(copy, array)
        assert not np.shares_memory(copy, array), name
        with pytest.raises(ValueError, match="WRITEABLE"):
            copy.flags.writeable = True
    assert type(own) is type(one)

"""
The reference pages say what the program does.
"""

import pytest

from tests import reference


@pytest.mark.parametrize("name", reference.pages())
def test_a_reference_page_is_what_the_program_would_make_of_it(name: str):
    """An operator who reads of a setting that is gone, or does not find one that is there, is lost at night."""
    written = (reference.PAGES / name).read_text(encoding="utf-8")
    assert written == reference.pages()[name], "run `make docs`"

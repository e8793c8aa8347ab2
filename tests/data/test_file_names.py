"""Names of many files: what a tuple of them would be, in less memory."""

import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natonnx.data.file_names import FileNames

NAMES = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=5)


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), NAMES), max_size=4), st.data())
def test_they_are_a_sequence(groups: Sequence[tuple[str, Sequence[str]]], data: st.DataObject) -> None:
    expected = [begin + name for begin, names in groups for name in names]
    found = FileNames.joined(FileNames.of(names, begin) for begin, names in groups)
    assert [*found] == expected
    assert [found[i] for i in range(-len(expected), len(expected))] == expected + expected
    part = data.draw(st.slices(len(expected) + 2))
    assert found[part] == expected[part]
    with pytest.raises(IndexError):
        found[len(expected)]


def test_names_that_are_no_text_stay_as_they_are() -> None:
    name = b"\xff\xe9.png".decode(errors="surrogateescape")
    assert FileNames.of([name, "b"], "a/")[0] == f"a/{name}"


def test_a_hundred_thousand_take_little() -> None:
    names = [f"{i:07}.jpg" for i in range(100_000)]
    (group,) = FileNames.of(names, "some/folder/of/a/class/").groups
    taken = len(group.text) + group.ends.nbytes
    assert taken < 0.5 * sum(sys.getsizeof(name) for name in names)

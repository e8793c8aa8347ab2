"""What an edge is in: one of the paper's letters, or the name of an operation that takes the place of its own."""

from typing import ClassVar

__all__ = ["LETTERS", "State"]


class State(str):
    """The name of what an edge carries, compared as text (paper, section 3: c(O) > c(S) > c(N)).

    O is the file's own operation, S a parameter-free skip, N nothing; any other text names a cheaper operation.

    Attributes:
        is_operation: Whether it is neither S nor N.
    """

    O: ClassVar["State"]  # noqa: E741 - the paper's letter
    S: ClassVar["State"]
    N: ClassVar["State"]

    __slots__ = ("is_operation",)
    is_operation: bool

    def __new__(cls, text: str) -> "State":
        """Give a state its name."""
        state = super().__new__(cls, text)
        state.is_operation = text not in ("S", "N")
        return state

    @property
    def value(self) -> str:
        """The name as plain text."""
        return str(self)


State.O = State("O")
State.S = State("S")
State.N = State("N")

LETTERS = (State.O, State.S, State.N)
"""What every edge may be in, as far as it has an operation and a skip: the paper's states, in this order."""

"""One text for all that a size is written as, judged by sympy, which computes with symbols."""

from __future__ import annotations

import pytest
import sympy  # type: ignore[import-untyped]

from natonnx.frontend.forms import Forms, assignments
from natonnx.frontend.symbols import evaluate

SYMBOLS = ("N", "H", "W", "seq")


def written(text: str, forms: Forms) -> int | str | None:
    return forms.write([evaluate(text, row) for row in forms.rows], text)


def generic() -> Forms:
    return Forms(next(assignments(SYMBOLS, ["N"])))


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("20*N", "20*N"),
        ("floor(1.0*N)", "N"),
        ("floor(floor(N))", "N"),
        ("2*N//2", "N"),
        ("(N*4)/4", "N"),
        ("N + 0", "N"),
        ("seq*2*N", "2*N*seq"),
        ("7", 7),
        ("0*N", 0),
        ("N + 1", "N + 1"),
        ("Max(N, 4)", "Max(N, 4)"),
        ("Min(seq, 512)", "Min(seq, 512)"),
        ("floor(H/2 - 1/2) + 1", "floor((H + 1)/2)"),
        ("ceiling(H/32)", "floor((H + 31)/32)"),
        ("floor(floor(H/2 - 1/2)/2 - 1/2) + 1", "floor((H + 1)/4)"),
        ("floor(H - 7) + 3", "H - 4"),
        ("3*W - H", "-H + 3*W"),
    ],
)
def test_the_short_text_is_the_same_size(text: str, form: int | str) -> None:
    found = written(text, generic())
    assert found == form
    names = {name: sympy.Symbol(name, integer=True, positive=True) for name in SYMBOLS}
    names |= {"floor": sympy.floor, "ceiling": sympy.ceiling, "Max": sympy.Max, "Min": sympy.Min}
    given, short = (sympy.sympify(str(one), locals=names) for one in (text, found))
    for numbers in ((3, 7, 31, 600), (1, 64, 8, 5), (8, 129, 55, 77)):
        values = dict(zip((names[name] for name in SYMBOLS), numbers, strict=True))
        assert sympy.floor(given.subs(values)) == short.subs(values)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("H", "2*floor(H/2)"),
        ("ceiling(H/2)", "floor(H/2)"),
        ("ceiling(H/16)", "floor((H + 14)/16)"),
        ("N", "Max(N, 3)"),
    ],
)
def test_what_differs_somewhere_keeps_two_texts(one: str, other: str) -> None:
    forms = generic()
    assert written(one, forms) != written(other, forms)


def test_products_of_sizes_that_are_rounded() -> None:
    forms = generic()
    assert [written(text, forms) for text in ("floor(H/16)", "floor(W/16)", "N*floor(W/16)*floor(H/16) + 0*N")] == [
        "floor(H/16)",
        "floor(W/16)",
        "N*floor(H/16)*floor(W/16)",
    ]


def test_halves_of_what_is_always_even() -> None:
    forms = Forms(list(assignments(SYMBOLS, ["N"]))[1])
    assert [written(text, forms) for text in ("H/2", "floor(H/2)", "ceiling(H/2)", "H/2 - 1")] == [
        *["H/2"] * 3,
        "H/2 - 1",
    ]

"""GitHub's expressions, as far as an action needs them: contexts, strings, operators, brackets, status functions.

https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["evaluate", "interpolate", "references", "truth"]

_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(==|!=|&&|\|\||[!()])|([A-Za-z_][\w.-]*))")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_STATUS = ("always", "success", "failure", "cancelled")

Functions = Mapping[str, Callable[[], bool]]


def interpolate(template: str, contexts: Mapping[str, Any]) -> str:
    """A string with its ${{ }} evaluated."""
    return _EXPRESSION.sub(lambda found: str(evaluate(found[1], contexts, {}) or ""), template)


def references(template: str) -> list[str]:
    """The contexts that the ${{ }} of a string name, such as inputs.model."""
    return [name for text in _EXPRESSION.findall(template) for name in _names(text)]


def truth(condition: str, contexts: Mapping[str, Any], functions: Functions) -> bool:
    """Whether a step with that `if:` runs: success() is meant where no status function is called."""
    text = _EXPRESSION.sub(r"\1", condition)
    asked = any(name in _STATUS for name in _names(text))
    return bool(evaluate(text, contexts, functions)) and (asked or functions["success"]())


def evaluate(text: str, contexts: Mapping[str, Any], functions: Functions) -> Any:
    """The value of an expression."""
    tokens = _tokens(text)
    value = _or(tokens, contexts, functions)
    assert not tokens, f"{text}: {tokens} left"
    return value


def _names(text: str) -> list[str]:
    return [token for token in _tokens(text) if re.match(r"[A-Za-z_]", token)]


def _tokens(text: str) -> list[str]:
    tokens, text = [], text.strip()
    while text:
        found = _TOKEN.match(text)
        assert found, f"not understood: {text}"
        tokens.append(found[0].strip())
        text = text[found.end() :].strip()
    return tokens


def _or(tokens: list[str], *scope: Any) -> Any:
    value = _and(tokens, *scope)
    while tokens[:1] == ["||"]:
        tokens.pop(0)
        other = _and(tokens, *scope)
        value = value or other
    return value


def _and(tokens: list[str], *scope: Any) -> Any:
    value = _comparison(tokens, *scope)
    while tokens[:1] == ["&&"]:
        tokens.pop(0)
        other = _comparison(tokens, *scope)
        value = value and other
    return value


def _comparison(tokens: list[str], *scope: Any) -> Any:
    value = _single(tokens, *scope)
    if tokens[:1] not in (["=="], ["!="]):
        return value
    wanted = tokens.pop(0) == "=="
    other = _single(tokens, *scope)
    return (str(value or "").lower() == str(other or "").lower()) is wanted  # strings: without regard to case


def _single(tokens: list[str], contexts: Mapping[str, Any], functions: Functions) -> Any:
    token = tokens.pop(0)
    if token == "!":  # noqa: S105 - no password
        return not _single(tokens, contexts, functions)
    if token == "(":  # noqa: S105
        value = _or(tokens, contexts, functions)
        assert tokens.pop(0) == ")"
        return value
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    if tokens[:1] == ["("]:
        assert tokens[1] == ")"
        del tokens[:2]
        return functions[token]()
    found: Any = contexts
    for name in token.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None  # what is not there is null, never an error
    return found

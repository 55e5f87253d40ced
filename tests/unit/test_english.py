"""What people read is written as docs/style.md says, as far as a list of phrases can tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SPECIFICATION.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
EXEMPT = {"style.md"}  # it quotes them
SOURCES = sorted((ROOT / "src/banger").rglob("*.py"))
# Pronouns where a noun belongs, and constructions that readers stumbled over.
BANNED = [
    r"\b(?:some|any|every|no)body\b",
    r"\bwho(?:so)?ever\b",
    r"\bone that\b",
    r"\bthose (?:that|which|who)\b",
    r"\bwhat (?:it|they) ended with\b",
    r"\ba line of JSON an?\b",
    r"\bso long\b",
    r"\bas long as it\b",
    r"\bof one's own\b",
    r"\b(?:set|puts?) right\b(?! what)",
    r"\bfor nobody\b",
    r"\bwhat becomes of\b",
    r"\bholds? up\b",
    r", rather\b",
    r"\bfor want of\b",
    r"\bwhat mends\b",
    r"\b(?:a|one) (?:file|line|row|noun|package|schema) an? \w+",
]
PHRASE = re.compile("|".join(BANNED), re.IGNORECASE)


def said_to_people(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Messages and hints of errors, and texts of help."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        texts = [*node.args[1:3]] if name == "Error" else [k.value for k in node.keywords if k.arg == "help"]
        for text in texts:
            words = [
                n.value for n in ast.walk(text) if isinstance(n, ast.Constant) and isinstance(n.value, str)
            ]
            if words:
                yield node.lineno, "".join(words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_say_the_noun(path: Path) -> None:
    if path.name in EXEMPT:
        return
    found = [
        f"{path.name}:{number}: {match[0]!r} in {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in PHRASE.finditer(line)
    ]
    assert found == []


def test_errors_hints_and_help_say_the_noun() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]!r} in {text}"
        for path in SOURCES
        for line, text in said_to_people(ast.parse(path.read_bytes()))
        for match in PHRASE.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["whoever reads", "for nobody", "take one that fits", "signal it, rather"])
def test_a_phrase_is_noticed(text: str) -> None:
    assert PHRASE.search(text)

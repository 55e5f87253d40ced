"""What people read is written as docs/style.md says, as far as a list of phrases can tell."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from banger.cli.table import NOUN_SUMMARIES, NOUNS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SPECIFICATION.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/howto").glob("*.md")),
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


# The same, for messages, help and docstrings that users read: what a document explains may be a riddle in one line.
RIDDLES = [
    *BANNED,
    r"\bmake room\b",
    r"\banew\b",
    r"\bbe had\b",
    r"\bgoes? on\b(?! (?:after|a)\b)",
    r"(?<!there )\b(?:is|are) no (?!longer\b)",
    r"\bdoes not tell\b",
    r"\blook (?:at|whether|who)\b",
    r"\bof before\b",
    r"\bstands? still\b",
    r"\b(?:is|are) possible$",
    r"\bas it (?:comes|should be)\b",
    r"\b(?:an?|per) \w+, likewise\b",
    r"\b(?:our|ours|us)\b",
]
RIDDLE = re.compile("|".join(RIDDLES), re.IGNORECASE)
# Calls whose texts people read: the places of those arguments, and the names of those keywords.
TOLD_BY_PLACE = {"Error": slice(1, 3), "Sight": slice(0, 1), "Check": slice(2, 3), "advise": slice(0, 1)}
TOLD_BY_NAME = ("help", "summary", "why")
# Their docstrings are in /openapi.json, docs/api.md and the SDK's help.
CLIENT = ("sync.py", "aio.py", "results.py", "aio_vm.py", "aio_files.py", "aio_process.py", "aio_front.py")
DESCRIBED = [
    *sorted((ROOT / "src/banger/api").glob("*.py")),
    *sorted((ROOT / "src/banger/model").glob("*.py")),
    *(ROOT / "src/banger/client" / name for name in CLIENT),
]


def said_to_people(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Messages and hints of errors, findings of the doctor, summaries of verbs, and texts of help."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        texts = [*node.args[TOLD_BY_PLACE[name]]] if name in TOLD_BY_PLACE else []
        texts += [keyword.value for keyword in node.keywords if keyword.arg in TOLD_BY_NAME]
        for text in texts:
            words = [
                n.value for n in ast.walk(text) if isinstance(n, ast.Constant) and isinstance(n.value, str)
            ]
            if words:
                yield node.lineno, "".join(words)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "lineno", 1), " ".join((ast.get_docstring(node) or "").split())


def comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def summaries() -> Iterator[tuple[int, str]]:
    """Of nouns and verbs, in the overviews of the command line."""
    for noun, verbs in NOUNS.items():
        yield 0, NOUN_SUMMARIES[noun]
        yield from ((0, summary) for _, _, summary in verbs.values())


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


def riddles(where: str, said: Iterable[tuple[int, str]], pattern: re.Pattern[str] = RIDDLE) -> list[str]:
    return [
        f"{where}:{line}: {match[0]!r} in {text}" for line, text in said for match in pattern.finditer(text)
    ]


def test_errors_hints_and_help_say_the_noun() -> None:
    found = riddles("cli/table.py", summaries())
    for path in SOURCES:
        found += riddles(str(path.relative_to(ROOT)), said_to_people(ast.parse(path.read_bytes())))
    assert found == []


@pytest.mark.parametrize("path", DESCRIBED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_docstrings_that_users_read_say_the_noun(path: Path) -> None:
    assert riddles(path.name, docstrings(ast.parse(path.read_bytes()))) == []


def test_docstrings_and_comments_say_the_noun() -> None:
    found = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        where = str(path.relative_to(ROOT / "src/banger"))
        found += riddles(where, [*docstrings(ast.parse(text)), *comments(text)], PHRASE)
    assert found == []


@pytest.mark.parametrize("text", ["whoever reads", "for nobody", "take one that fits", "signal it, rather"])
def test_a_phrase_is_noticed(text: str) -> None:
    assert PHRASE.search(text)


@pytest.mark.parametrize(
    "text", ["make room there", "log in anew", "it is no directory", "the machine goes on"]
)
def test_a_riddle_is_noticed(text: str) -> None:
    assert RIDDLE.search(text)


@pytest.mark.parametrize("text", ["there is no such host", "it is no longer kept", "free space there"])
def test_plain_words_are_none(text: str) -> None:
    assert not RIDDLE.search(text)

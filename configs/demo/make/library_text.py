"""Prose that stands on every machine with Python: the standard library's docstrings, language topics and licence.

It widens the base model's vocabulary beyond anything the demo talks about, so that the base stays unsure of itself.
The text depends on the Python version; the shipped base was made with the version named in base/README.md.
"""

import ast
import importlib.util
import re
import sysconfig
from pathlib import Path

SKIPPED_FOLDERS = {"site-packages", "dist-packages", "test", "tests", "__pycache__", "lib2to3", "idlelib", "idle_test"}
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def paragraphs() -> list[str]:
    """Return every paragraph of the standard library that reads as English, in a stable order, each once."""
    texts = [*_docstrings(), *_topics(), _licence()]
    found = (_clean(part) for text in texts for part in re.split(r"\n\s*\n", text))
    return list(dict.fromkeys(part for part in found if _is_prose(part)))


def sentences(paragraph: str) -> list[str]:
    """Split a paragraph at sentence ends followed by a capital letter."""
    return [part for part in SENTENCE_END.split(paragraph) if part]


def _docstrings() -> list[str]:
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if SKIPPED_FOLDERS & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found += [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
    return found


def _topics() -> list[str]:
    spec = importlib.util.find_spec("pydoc_data.topics")
    if spec is None or spec.origin is None:
        return []
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [value for value in constants if isinstance(value, str)]


def _licence() -> str:
    candidates = (Path(sysconfig.get_path("stdlib")) / "LICENSE.txt",)
    return next((path.read_text(encoding="utf-8") for path in candidates if path.is_file()), "")


def _clean(text: str) -> str:
    joined = re.sub(r"\s+", " ", text.encode("ascii", "ignore").decode()).strip()
    return re.sub(r"[*`]+([^*`]+)[*`]+", r"\1", joined)


def _is_prose(text: str) -> bool:
    """Keep what is mostly plain words: code, tables and signatures would teach the tokenizer punctuation."""
    words = text.split()
    if not 6 <= len(words) <= 300 or not text[0].isupper() or text[-1] not in ".!?":
        return False
    plain = sum(bool(re.fullmatch(r"[\"'(]?[A-Za-z][a-z]*(?:'[a-z]+)?[.,;:!?\"')]*", word)) for word in words)
    return plain / len(words) > 0.85 and ">>>" not in text

"""Control tokens: what the chat template may write and a person's words may not.

A tokenizer turns the text `</s>` into its end token wherever it stands. Inside a turn that would end the turn early and
shift every label after it, so such text is broken with one space ("< /s>") and read as ordinary text.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Controls:
    """The control tokens of one tokenizer: its special tokens, and added tokens that its template writes."""

    def __init__(self, tokenizer: Any, template: str) -> None:
        texts: set[str] = set()
        ids: set[int] = set()
        self._id: dict[str, int] = {}
        for token_id, token in tokenizer.added_tokens_decoder.items():
            content = str(token.content)
            if content.strip() and (token.special or (_is_marked(content) and content in template)):
                texts.add(content)
                # The unknown token also stands for characters that the vocabulary lacks; that is legitimate.
                if token_id != tokenizer.unk_token_id:
                    ids.add(int(token_id))
                    self._id[content] = int(token_id)
        for content in tokenizer.all_special_tokens:
            texts.add(str(content))
        self.ids: NDArray[np.int32] = np.array(sorted(ids), dtype=np.int32)
        # By id, with a last entry for every higher one: looking up is ten times faster than searching.
        self._is_control = np.zeros(max(ids, default=0) + 2, dtype=np.bool_)
        self._is_control[self.ids] = True
        longest_first = sorted(texts, key=lambda text: (-len(text), text))
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def neutralise(self, text: str) -> tuple[str, int]:
        """The text without control tokens, and how many were broken."""
        broken = 0
        # Breaking one token can at worst join pieces of another, so look again; each pass adds a space somewhere else.
        for _ in range(4):
            text, found = self._pattern.subn(_break, text)
            broken += found
            if not found:
                break
        return text, broken

    def first_end(self, text: str) -> int | None:
        """Where the first control token in the text ends; None without one."""
        match = self._pattern.search(text)
        return match.end() if match else None

    def written(self, text: str) -> tuple[list[int], list[int], list[int]]:
        """Where control tokens begin and end in a text, and their ids; -1 for one that is none among ids."""
        found = [(*match.span(), self._id.get(match[0], -1)) for match in self._pattern.finditer(text)]
        starts, ends, ids = ([each[column] for each in found] for column in range(3))
        return starts, ends, ids

    def among(self, ids: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which ids are control tokens; same shape as `ids`."""
        return self._is_control[np.minimum(ids, len(self._is_control) - 1)]


def _is_marked(content: str) -> bool:
    """Whether an added token is set off like `<think>`; a plain word that was added to a vocabulary is not."""
    return len(content) > 2 and not content[0].isalnum() and not content[-1].isalnum()


def _break(match: re.Match[str]) -> str:
    text = match[0]
    return f"{text[0]} {text[1:]}" if len(text) > 1 else " "

"""A chat template taken apart: the literal text it puts around the turns, and where each turn then stands.

The template is rendered once per pattern of turns with unique placeholders; what lies between them is the scaffold.
Filling real turns into it gives the exact character span of each, whatever the template looks like, so labels are
right by construction instead of being searched for afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from jinja2 import TemplateError

from configs.errors import ConfigError
from engine.data.controls import Controls
from engine.data.dialogue import Dialogue, Exchange
from states.text import one_line

Span = tuple[int, int]
_REMEDY: Final = "give another template with --chat-template FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A rendered dialogue and the character spans in it, by exchange."""

    text: str
    clients: tuple[Span, ...]
    replies: tuple[Span, ...]
    """The therapist's words alone."""
    targets: tuple[Span, ...]
    """What the model has to write: the white space before the reply, the reply, and its end token."""
    unclosed: int
    """Replies after which the template wrote no end token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scaffold:
    pieces: tuple[str, ...]
    """One more than turns: before the first, between, after the last."""
    order: tuple[int, ...]
    """Index of the message that stands in each gap; a template may move the system text."""


class ChatTemplate:
    """The template of one tokenizer, probed once: has it a system role, and how does it end a reply?"""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._scaffolds: dict[tuple[bool, int, bool], _Scaffold] = {}
        try:
            source = str(tokenizer.get_chat_template())
        except ValueError as error:
            raise ConfigError(f"The base model's tokenizer has no chat template; {_REMEDY}.") from error
        self.source = source
        self.controls = Controls(tokenizer, source)
        self.system_role = self._takes_system_role()
        before, after = self._scaffold(system=False, exchanges=1, pending=False).pieces[1:]
        prompt = self._scaffold(system=False, exchanges=0, pending=True).pieces[-1]
        end = self.controls.first_end(after)
        if end is None:
            raise ConfigError(
                "The chat template ends a therapist turn without a special token of this tokenizer, so the model could "
                f"never learn to stop; {_REMEDY}, or use the tokenizer that belongs to this template."
            )
        self._end = after[:end]
        # A template may write "[/INST] " before a reply but stop at "[/INST]" when it asks for one: the model then
        # has to write that space itself. Anything but white space there is the template's own text.
        lead = before.removeprefix(prompt)
        self._lead = lead if before.startswith(prompt) and lead.isspace() else ""

    @property
    def end(self) -> str:
        """What the template writes after a reply, up to and with the end token."""
        return self._end

    def messages(self, dialogue: Dialogue) -> list[dict[str, str]]:
        """The messages that this template is given for a dialogue."""
        return dialogue.messages(system_role=self.system_role)

    def render(self, messages: list[dict[str, str]], *, prompt: bool) -> str:
        """The template's own rendering; raises what the template raises."""
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))

    def lay_out(self, dialogue: Dialogue) -> Layout:
        """Fill the turns into the scaffold; a pending client turn is followed by the generation prompt."""
        messages = self.messages(dialogue)
        has_system = bool(dialogue.system) and self.system_role
        pending = dialogue.pending is not None
        scaffold = self._scaffold(system=has_system, exchanges=len(dialogue.exchanges), pending=pending)
        parts = [scaffold.pieces[0]]
        spans: dict[int, Span] = {}
        following: dict[int, int] = {}
        position = len(parts[0])
        for gap, index in enumerate(scaffold.order):
            content = messages[index]["content"]
            spans[index] = (position, position + len(content))
            following[index] = gap + 1
            parts += (content, scaffold.pieces[gap + 1])
            position += len(content) + len(parts[-1])
        first = int(has_system)
        folded = 0 if self.system_role else len(dialogue.folded_prefix)
        clients, replies, targets, unclosed = [], [], [], 0
        for number in range(len(dialogue.exchanges)):
            start, stop = spans[first + 2 * number]
            clients.append((start + (folded if number == 0 else 0), stop))
            gap = following[first + 2 * number + 1]
            start, stop = spans[first + 2 * number + 1]
            replies.append((start, stop))
            closed = scaffold.pieces[gap].startswith(self._end)
            unclosed += not closed
            lead = len(self._lead) if scaffold.pieces[gap - 1].endswith(self._lead) else 0
            targets.append((start - lead, stop + (len(self._end) if closed else 0)))
        return Layout(
            text="".join(parts),
            clients=tuple(clients),
            replies=tuple(replies),
            targets=tuple(targets),
            unclosed=unclosed,
        )

    def _takes_system_role(self) -> bool:
        try:
            self._scaffold(system=True, exchanges=1, pending=False)
        except ConfigError:
            return False
        return True

    def _scaffold(self, *, system: bool, exchanges: int, pending: bool) -> _Scaffold:
        key = (system, exchanges, pending)
        if key not in self._scaffolds:
            self._scaffolds[key] = self._take_apart(system=system, exchanges=exchanges, pending=pending)
        return self._scaffolds[key]

    def _take_apart(self, *, system: bool, exchanges: int, pending: bool) -> _Scaffold:
        count = int(system) + 2 * exchanges + int(pending)
        # Letters and digits of fixed width: no template trims or splits them, none contains another.
        marks = [f"stint{index:06d}turn" for index in range(count)]
        left = iter(marks)
        dialogue = Dialogue(
            system=next(left) if system else "",
            exchanges=tuple(Exchange(client=next(left), therapist=next(left)) for _ in range(exchanges)),
            pending=next(left) if pending else None,
        )
        try:
            text = self.render(dialogue.messages(system_role=True), prompt=pending)
        except (TemplateError, TypeError, ValueError) as error:
            reason = one_line(str(error), 120)
            raise ConfigError(f"The chat template refuses a plain conversation ({reason}); {_REMEDY}.") from error
        if any(text.count(mark) != 1 for mark in marks):
            raise ConfigError(f"The chat template leaves out or repeats a turn; {_REMEDY}.")
        order = sorted(range(count), key=lambda index: text.index(marks[index]))
        pieces, position = [], 0
        for index in order:
            start = text.index(marks[index])
            pieces.append(text[position:start])
            position = start + len(marks[index])
        return _Scaffold(pieces=(*pieces, text[position:]), order=tuple(order))

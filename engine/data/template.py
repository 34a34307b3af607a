"""Renders conversations with the checkpoint's own chat template into ids and labels, and prompts for generation.

Labels cover exactly what the model has to write at inference: each therapist turn and the end token after it. They
follow from where the turns stand in the rendered text, and every text is compared with the template's own rendering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from configs.errors import ConfigError
from engine.data.conversation import Conversation, Role, Turn, tidy
from engine.data.dialogue import OPENING, Dialogue, Exchange, arrange
from engine.data.encoder import Encoder
from engine.data.encoding import Encoded, encode
from engine.data.example import NO_TARGET, Example
from engine.data.oversize import Fitted, shorten
from engine.data.scaffold import ChatTemplate, Layout
from engine.data.slicing import Slicer
from engine.data.tally import RenderTally
from engine.data.windows import windows

GENERAL: Final = "general"
"""The domain of a conversation that names none."""

_BATCH: Final = 256
_CHECKS: Final = 256
"""Conversations whose ids are compared with the template's own tokens: about so many whenever their number has doubled.
Texts are compared in all."""
_RETRIES: Final = 6


class Renderer:
    """One tokenizer with its template; counts what it did in `tally`."""

    opening: Final = OPENING

    def __init__(self, tokenizer: Any, max_length: int, domains: Sequence[str] = ()) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ConfigError("The tokenizer of this base model has no fast version (tokenizer.json), which is needed.")
        self.max_length = max_length
        self.tally = RenderTally()
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self._domains = {name: index for index, name in enumerate(domains)}
        self._encoder = Encoder(tokenizer, self._template.controls, max_length)
        self._counted = 0
        self._slicer = Slicer(lambda texts: encode(tokenizer, self._template.controls, texts))

    def render(self, conversation: Conversation) -> list[Example]:
        """The examples of one conversation: one, or several when it is longer than max_length."""
        return self.render_all([conversation])

    def render_all(
        self, conversations: Sequence[Conversation], progress: Callable[[int], None] = lambda done: None
    ) -> list[Example]:
        """The examples of many conversations, in order; `progress` hears how many are done."""
        examples: list[Example] = []
        self._counted += len(conversations)
        stride = max(1, self._counted // _CHECKS)
        for (begin, dialogues), layouts, encodings in self._encoder.ahead(self._laid(conversations)):
            batch = conversations[begin : begin + len(dialogues)]
            for offset, (conversation, dialogue, layout, encoded) in enumerate(
                zip(batch, dialogues, layouts, encodings, strict=True)
            ):
                faithful = self._faithful(dialogue, layout, encoded)
                if faithful and (begin + offset) % stride == 0:
                    self._check(conversation, dialogue, layout, encoded)
                made = self._examples(conversation, dialogue, layout, encoded) if faithful else []
                if not made:
                    self.tally.dropped.append(conversation.row)
                examples.extend(made)
            progress(begin + len(batch))
        return examples

    def _laid(
        self, conversations: Sequence[Conversation]
    ) -> Iterator[tuple[tuple[int, list[Dialogue]], Sequence[Layout]]]:
        """Batches laid out: where each begins and its dialogues, and their texts."""
        for begin in range(0, len(conversations), _BATCH):
            dialogues = [self._arrange(each.turns) for each in conversations[begin : begin + _BATCH]]
            yield (begin, dialogues), [self._template.lay_out(dialogue) for dialogue in dialogues]

    def prompt(self, turns: Iterable[Turn]) -> list[int]:
        """Ids that ask for the therapist's next turn; the oldest exchanges go first when they exceed max_length.

        No turns at all, or only a system turn, ask for a therapist's opening.
        """
        dialogue = self._arrange(tidy(turns).turns, count=False)
        if dialogue.pending is None and dialogue.exchanges:
            raise ValueError("a prompt ends with a client turn")
        exchanges = dialogue.exchanges
        while True:
            asked = Dialogue(system=dialogue.system, exchanges=exchanges, pending=dialogue.pending or OPENING)
            ids = self._encode([self._template.lay_out(asked)])[0].ids
            if len(ids) <= self.max_length or not exchanges:
                return [int(token) for token in ids]
            exchanges = exchanges[1:]

    def answer(self, turns: Iterable[Turn], reply: str) -> Example:
        """`turns`, which end with the client, and the therapist's `reply` to them, which alone carries loss.

        Control tokens are broken as in training. The oldest exchanges go first when it exceeds max_length; a reply that
        exceeds it by itself stays whole. Raises `ValueError` for an empty reply.
        """
        if not reply.strip():
            raise ValueError("an empty reply has no words to be likely")
        asked = tidy(turns).turns
        dialogue = self._arrange((*asked, Turn(role=Role.THERAPIST, text=reply.strip())), count=False)
        if asked and asked[-1].role is Role.THERAPIST:
            raise ValueError("a reply follows a client turn")
        exchanges = dialogue.exchanges
        while True:
            layout, encoded = self._place(Dialogue(system=dialogue.system, exchanges=exchanges))
            if len(encoded) <= self.max_length or len(exchanges) == 1:
                break
            exchanges = exchanges[1:]
        labels = np.full(len(encoded), NO_TARGET, dtype=np.int32)
        tokens = encoded.covering(layout.targets[-1])
        labels[tokens] = encoded.ids[tokens]
        return Example(ids=encoded.ids, labels=labels, domain_index=-1, conversation=0)

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end a therapist's turn."""
        return frozenset(self.end_ids[-1:])

    @property
    def end_ids(self) -> list[int]:
        """What the template writes after a reply, up to and with the end token."""
        ids = self._tokenizer(self._template.end, add_special_tokens=False, verbose=False)["input_ids"]
        return [int(token) for token in ids]

    @property
    def template_text(self) -> str:
        """The chat template's source."""
        return self._template.source

    def plain(self, text: str) -> str:
        """A person's words as they are trained: with control tokens broken."""
        return self._template.controls.neutralise(text)[0]

    def _arrange(self, turns: Sequence[Turn], *, count: bool = True) -> Dialogue:
        """Exchanges with control tokens broken; for training the unanswered last turn is left out."""
        raw = arrange(turns)
        broken = 0

        def plain(text: str) -> str:
            nonlocal broken
            text, found = self._template.controls.neutralise(text)
            broken += found
            return text

        exchanges = tuple(Exchange(client=plain(e.client), therapist=plain(e.therapist)) for e in raw.exchanges)
        system = plain(raw.system)
        if not count:
            pending = None if raw.pending is None else plain(raw.pending)
            return Dialogue(system=system, exchanges=exchanges, pending=pending, opened=raw.opened)
        self.tally.opened += raw.opened
        self.tally.unanswered += raw.pending is not None
        self.tally.folded += bool(system) and not self._template.system_role
        self.tally.broken_controls += broken
        return Dialogue(system=system, exchanges=exchanges, opened=raw.opened)

    def _encode(self, layouts: Sequence[Layout]) -> list[Encoded]:
        return encode(self._tokenizer, self._template.controls, [layout.text for layout in layouts])

    def _faithful(self, dialogue: Dialogue, layout: Layout, encoded: Encoded) -> bool:
        """Whether the template renders this dialogue as laid out, and no turn holds a control token."""
        if encoded.holds_control((*layout.clients, *layout.replies)):
            return False
        return self._template.render(self._template.messages(dialogue), prompt=False) == layout.text

    def _check(self, conversation: Conversation, dialogue: Dialogue, layout: Layout, encoded: Encoded) -> None:
        """The ids are the template's own, and the labelled ones read as the therapist's words."""
        messages = self._template.messages(dialogue)
        own = self._tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=False, tokenizer_kwargs={"verbose": False}
        )
        if list(own) != encoded.ids.tolist():
            raise ConfigError(
                f"The tokenizer encodes row {conversation.row} in two ways; its chat template is unusable."
            )
        for span, exchange in zip(layout.targets, dialogue.exchanges, strict=True):
            read = _squeeze(self._tokenizer.decode(encoded.ids[encoded.covering(span)]))
            if _squeeze(exchange.therapist) in read:
                continue
            plain = self._tokenizer(exchange.therapist, add_special_tokens=False, verbose=False)["input_ids"]
            if _squeeze(self._tokenizer.decode(plain)) not in read:
                raise ConfigError(
                    f"The labels of row {conversation.row} do not read as its therapist turns; the tokenizer's "
                    "offsets cannot be trusted with this chat template. Give another with --chat-template FILE."
                )

    def _examples(
        self, conversation: Conversation, dialogue: Dialogue, layout: Layout, encoded: Encoded
    ) -> list[Example]:
        if len(encoded) <= self.max_length:
            self.tally.unclosed += layout.unclosed
            return self._example(conversation, layout, encoded)
        if len(dialogue.exchanges) == 1:
            return self._oversize(conversation, dialogue, layout, encoded)
        return self._divide(conversation, dialogue, layout, encoded)

    def _example(
        self, conversation: Conversation, layout: Layout, encoded: Encoded, *, first: int = 0, part: int = 0
    ) -> list[Example]:
        """One example, labelled from exchange `first` on and cut at max_length; none without a target."""
        labels = np.full(len(encoded), NO_TARGET, dtype=np.int32)
        for span in layout.targets[first:]:
            tokens = encoded.covering(span)
            labels[tokens] = encoded.ids[tokens]
        example = Example(
            ids=encoded.ids[: self.max_length],
            labels=labels[: self.max_length],
            domain_index=self._domains[conversation.domain or GENERAL] if self._domains else 0,
            conversation=conversation.row,
            part=part,
        )
        return [example] if example.targets else []

    def _divide(
        self, conversation: Conversation, dialogue: Dialogue, layout: Layout, encoded: Encoded
    ) -> list[Example]:
        """Parts at turns; each shows up to a quarter of max_length of what came before, unlabelled."""
        preamble = encoded.index_at(layout.clients[0][0])
        bounds = [preamble, *(encoded.index_at(stop) for _, stop in layout.targets)]
        costs = np.diff(bounds).tolist()
        limit = self.max_length
        for attempt in range(_RETRIES + 1):
            # The last attempt gives every exchange a part of its own, which always ends the search.
            last = attempt == _RETRIES
            parts = windows(preamble, costs, 0 if last else limit, 0 if last else self.max_length // 4)
            dialogues = [
                Dialogue(system=dialogue.system, exchanges=dialogue.exchanges[p.start : p.stop]) for p in parts
            ]
            layouts = [self._template.lay_out(each) for each in dialogues]
            encodings = self._slicer.parts(parts, layouts, layout, encoded)
            # A part may cost a few tokens more than its exchanges did inside the whole.
            over = max((len(e) for p, e in zip(parts, encodings, strict=True) if not p.alone), default=0)
            if over <= self.max_length:
                break
            limit -= over - self.max_length
        examples: list[Example] = []
        for number, (part, each, placed, tokens) in enumerate(zip(parts, dialogues, layouts, encodings, strict=True)):
            if part.alone and len(tokens) > self.max_length:
                made = self._oversize(conversation, each, placed, tokens, part=number)
            else:
                self.tally.unclosed += placed.unclosed
                made = self._example(conversation, placed, tokens, first=part.first - part.start, part=number)
            self.tally.lost_parts += not made
            if not made:
                self.tally.lost_rows.append(conversation.row)
            examples += made
        self.tally.divided += 1
        self.tally.parts += len(parts)
        self.tally.carried_tokens += sum(sum(costs[part.start : part.first]) for part in parts)
        return examples

    def _oversize(
        self, conversation: Conversation, dialogue: Dialogue, layout: Layout, encoded: Encoded, *, part: int = 0
    ) -> list[Example]:
        """A single exchange above max_length: first its client turn is shortened, then its reply is cut."""

        def place(exchange: Exchange) -> tuple[Layout, Encoded]:
            shorter = self._template.lay_out(Dialogue(system=dialogue.system, exchanges=(exchange,)))
            return shorter, self._slicer.shortened(shorter, layout, encoded)

        fitted = shorten(
            dialogue.exchanges[0],
            Fitted(layout=layout, encoded=encoded, shortened=False),
            self.max_length,
            place,
        )
        examples = self._example(conversation, fitted.layout, fitted.encoded, part=part)
        if examples and fitted.shortened:
            self.tally.shortened += 1
            self.tally.shortened_rows.append(conversation.row)
        if examples and len(fitted.encoded) > self.max_length:
            self.tally.cut += 1
            self.tally.cut_rows.append(conversation.row)
        return examples

    def _place(self, dialogue: Dialogue) -> tuple[Layout, Encoded]:
        layout = self._template.lay_out(dialogue)
        return layout, self._encode([layout])[0]


def _squeeze(text: str) -> str:
    return "".join(text.split())

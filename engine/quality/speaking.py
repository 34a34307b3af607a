"""A trained model as a `Speaker`: through its own chat template, with its adapters or as the base it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from engine.data.conversation import Turn
from engine.data.template import Renderer
from engine.model.adapters import Adapted
from engine.model.bare import without_adapters
from engine.quality.decoding import Decoded, Heard, decode
from engine.quality.sampling import Sampling
from engine.quality.scoring import score
from engine.quality.speaker import Reply, Score, Stop

Recorder = Callable[[Sequence[Sequence[Turn]], Sequence[Reply]], None]
"""Hears contexts and the replies to them; only where a person asked to see them."""


class ModelSpeaker:
    """Two of these may share one model: `bare` is the untouched base, whose adapters are off while it speaks."""

    def __init__(
        self,
        adapted: Adapted,
        tokenizer: Any,
        renderer: Renderer,
        *,
        bare: bool = False,
        bin_tokens: int = 2048,
        stop: Stop = lambda: False,
        recorder: Recorder | None = None,
    ) -> None:
        self._adapted = adapted
        self._tokenizer = tokenizer
        self._renderer = renderer
        self._bare = bare
        self._bin_tokens = bin_tokens
        self._stop = stop
        self._recorder = recorder

    def replies(
        self, contexts: Sequence[Sequence[Turn]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[Reply]:
        """One reply to each context; raises `Interrupted` when it is told to stop."""
        prompts = [self._renderer.prompt(turns) for turns in contexts]
        sampling = Sampling(temperature=temperature)
        said = self.say(prompts, max_tokens=max_tokens, sampling=sampling, seed=seed, stop=self._stop)
        if self._recorder is not None:
            self._recorder(contexts, said)
        return said

    def say(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        sampling: Sampling,
        seed: int,
        first: int = 0,
        stop: Stop,
        heard: Heard = lambda prompt, token: None,
    ) -> list[Reply]:
        """The same for prompts in tokens; `heard` is told each token as it comes, `first` counts replies before these.

        What is drawn for a reply depends on the seed and its number, not on what it is written together with.
        """
        with self._as_told():
            found = decode(
                self._adapted,
                prompts,
                ends=self._renderer.ends,
                max_tokens=max_tokens,
                sampling=sampling,
                seed=seed,
                first=first,
                stop=stop,
                heard=heard,
            )
        return [self._reply(each) for each in found]

    def scores(self, contexts: Sequence[Sequence[Turn]], replies: Sequence[str]) -> list[Score]:
        """The likelihood of each given reply after its context; raises `Interrupted` when it is told to stop."""
        examples = [self._renderer.answer(turns, reply) for turns, reply in zip(contexts, replies, strict=True)]
        with self._as_told():
            found = score(self._adapted, examples, bin_tokens=self._bin_tokens, stop=self._stop)
        pairs = zip(found.nll.tolist(), found.targets.tolist(), strict=True)
        return [Score(nll=nll, tokens=tokens) for nll, tokens in pairs]

    def text(self, ids: Sequence[int]) -> str:
        """The words of some tokens, control tokens among them as they are written."""
        return str(
            self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        ).strip()

    @contextmanager
    def _as_told(self) -> Iterator[None]:
        with without_adapters(self._adapted) if self._bare else nullcontext():
            yield

    def _reply(self, made: Decoded) -> Reply:
        total = sum(made.counts)
        shares = tuple(count / total for count in made.counts) if total and not self._bare else ()
        return Reply(text=self.text(made.ids), tokens=len(made.ids), ended=made.ended, shares=shares)

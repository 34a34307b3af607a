"""The forms in which a trained model can be handed on, and how each is loaded. No torch here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """What an export holds."""

    ROUTED = "routed"
    AVERAGE = "average"
    DOMAINS = "domains"
    MERGED = "merged"


class Checkpoints(StrEnum):
    """Which checkpoints are kept."""

    NEEDED = "needed"
    """The best one and the newest: what was trained, and what goes on."""
    ALL = "all"
    NONE = "none"


DEFAULT = (Form.ROUTED, Form.AVERAGE, Form.DOMAINS)
"""What is exported unless said otherwise; a merged model is as large as its base."""

LOADER = "load_routed.py"

_PEFT = """```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

# BASE is the base model: a folder or a hub id
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
```"""

_ROUTED = """```python
import sys
sys.path.insert(0, FOLDER)  # load_routed.py lies beside the weights; read it, it is short
from load_routed import load_routed

model, tokenizer = load_routed(FOLDER, BASE)  # the base model: a folder or a hub id
```"""

_MERGED = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
```"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """One folder of an export."""

    form: Form
    folder: str
    domain: str | None = None
    """For a static adapter, or a merge, at one domain's mean gates."""

    @property
    def active(self) -> bool:
        """Whether tokens are routed in it."""
        return self.form is Form.ROUTED

    @property
    def library(self) -> str:
        """What loads it."""
        return "peft" if self.form in {Form.AVERAGE, Form.DOMAINS} else "transformers"

    @property
    def usage(self) -> str:
        """How to load it, as Markdown."""
        return {Form.ROUTED: _ROUTED, Form.MERGED: _MERGED}.get(self.form, _PEFT)


def folder_of(domain: str) -> str:
    """A plain folder name for a domain, whatever the data calls it."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", domain).strip("-").lower()
    return f"domain-{plain[:60] or 'unnamed'}"


def artefacts(
    forms: tuple[Form, ...], domains: tuple[str, ...], merge_domain: str | None, *, routed: bool
) -> list[Artefact]:
    """What to write; a plain LoRA has one adapter and no routing, whatever was asked for."""
    found: list[Artefact] = []
    for form in dict.fromkeys(forms):
        if form is Form.MERGED:
            found.append(Artefact(form=form, folder="merged", domain=merge_domain))
        elif form is Form.AVERAGE or not routed:
            found.append(Artefact(form=Form.AVERAGE, folder="average" if routed else "adapter"))
        elif form is Form.ROUTED:
            found.append(Artefact(form=form, folder="routed"))
        else:
            found += [Artefact(form=form, folder=name, domain=domain) for domain, name in _named(domains).items()]
    return list({each.folder: each for each in found}.values())


def _named(domains: tuple[str, ...]) -> dict[str, str]:
    """Domain -> folder, all different."""
    taken: dict[str, str] = {}
    for domain in domains:
        name, number = folder_of(domain), 2
        while name in taken.values():
            name = f"{folder_of(domain)}-{number}"
            number += 1
        taken[domain] = name
    return taken

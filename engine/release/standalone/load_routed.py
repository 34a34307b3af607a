"""Load a mixture of LoRA experts with its routing active. Needs torch, transformers and safetensors, nothing else.

    from load_routed import load_routed
    model, tokenizer = load_routed("this/folder", "the/base/model")

`model` is the base's own transformers class with its linear layers replaced in place: `generate`, the cache and
everything else work as on any other. Each token is routed by itself: a softmax over all experts in float32, the largest
`top_k` kept and renormalised, `y = W x + s * B (g (x) A x)`. No data-dependent shape, no remote code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FFN = ("gate_proj", "up_proj", "down_proj")
FORMAT = "stint-moe-1"


class LoraLinear(nn.Module):
    """`y = W x + s * B (A x)`."""

    def __init__(self, base: nn.Module, a: torch.Tensor, b: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.base, self.scale = base, scale
        self.register_buffer("a", a, persistent=False)
        self.register_buffer("b", b, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (..., in); returns (..., out)."""
        low = functional.linear(x, self.a.to(x.dtype))
        return self.base(x) + self.scale * functional.linear(low, self.b.to(x.dtype))


class ExpertLinear(nn.Module):
    """`y = W x + s * sum_e g_e B_e (A_e x)`; a: (rank, in) where experts share it, else (experts, rank, in)."""

    def __init__(self, base: nn.Module, a: torch.Tensor, b: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.base, self.scale = base, scale
        self.shared, self.experts, self.rank = a.dim() == 2, b.shape[0], b.shape[2]
        self.register_buffer("a", a.reshape(-1, a.shape[-1]), persistent=False)
        self.register_buffer("b", b.transpose(1, 2).reshape(-1, b.shape[1]), persistent=False)

    def forward(self, x: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
        """x: (tokens, in); gates: (tokens, experts); returns (tokens, out)."""
        low = functional.linear(x, self.a.to(x.dtype))
        low = low[:, None, :] if self.shared else low.view(-1, self.experts, self.rank)
        gated = (gates[:, :, None] * low.to(gates.dtype)).to(x.dtype).reshape(x.shape[0], -1)
        return self.base(x) + self.scale * (gated @ self.b.to(x.dtype))


class ExpertMlp(nn.Module):
    """A SwiGLU block over expert linears with one router."""

    def __init__(self, base: nn.Module, router: torch.Tensor, top_k: int, linears: dict[str, ExpertLinear]) -> None:
        super().__init__()
        self.act_fn, self.top_k = base.act_fn, top_k
        self.register_buffer("router", router, persistent=False)
        self.gate_proj, self.up_proj, self.down_proj = (linears[name] for name in FFN)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (..., hidden); returns the same shape."""
        rows = x.reshape(-1, x.shape[-1])
        p = torch.softmax(functional.linear(rows.float(), self.router), dim=-1)
        kept, chosen = p.topk(self.top_k, dim=-1)
        gates = torch.zeros_like(p).scatter(-1, chosen, kept / kept.sum(-1, keepdim=True))
        inner = self.act_fn(self.gate_proj(rows, gates)) * self.up_proj(rows, gates)
        return self.down_proj(inner, gates).view(x.shape)


def load_routed(folder: str | Path, base: str | None = None, *, dtype: Any = None, device: Any = None) -> Any:
    """Return model and tokenizer.

    Args:
        folder: where adapter_config.json, adapter_model.safetensors and moe_layers.safetensors are.
        base: the base model, a folder or a hub id; by default the one that adapter_config.json names.
        dtype: by default the precision it was trained in, in which it routes exactly as in training.
        device: by default the GPU where there is one.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    standard, _ = _read(folder / "adapter_model.safetensors")
    experts, told = _read(folder / "moe_layers.safetensors")
    if told.get("format") != FORMAT:
        raise ValueError(f"moe_layers.safetensors has the format {told.get('format')!r}, this file reads {FORMAT!r}")
    named = config["base_model_name_or_path"]
    if base is None and "/" not in named:
        raise ValueError(f"adapter_config.json calls its base model {named!r}: say where that is with base=FOLDER")
    base = base or named
    dtype = dtype or getattr(torch, told.get("base_dtype", "bfloat16"))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    scale, top_k, num_experts = float(told["scale"]), int(told["top_k"]), int(told["num_experts"])
    uniform = torch.full((num_experts,), 1.0 / num_experts)
    for index, block in enumerate(model.model.layers):
        for name in ATTENTION:
            key = f"base_model.model.model.layers.{index}.self_attn.{name}"
            pair = (standard[f"{key}.lora_{x}.weight"] for x in "AB")
            setattr(block.self_attn, name, LoraLinear(getattr(block.self_attn, name), *pair, scale))
        linears = {}
        for name in FFN:
            key = f"layers.{index}.mlp.{name}"
            b = experts[f"{key}.lora_B"]
            static = standard[f"base_model.model.model.{key}.lora_B.weight"]
            a = experts.get(f"{key}.lora_A")
            if a is None:
                a = standard[f"base_model.model.model.{key}.lora_A.weight"]
                if not torch.allclose(static, (uniform[:, None, None] * b).sum(0), rtol=1e-3, atol=1e-6):
                    raise ValueError(f"adapter_model and moe_layers do not belong together: {key} differs")
            linears[name] = ExpertLinear(getattr(block.mlp, name), a, b, scale)
        block.mlp = ExpertMlp(block.mlp, experts[f"layers.{index}.router.weight"], top_k, linears)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    own = (folder / "tokenizer.json").is_file()
    tokenizer = AutoTokenizer.from_pretrained(folder if own else base)
    return model.to(device).eval(), tokenizer


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118

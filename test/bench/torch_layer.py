# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One MoE layer in torch, in several ways that compute the same."""
import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Layer:
    """Weights of all experts lie in one tensor, [experts, 2 neurons, hidden] and [experts, hidden, neurons]."""

    def __init__(self, hidden, neurons, experts, top, shared, dtype):
        generator = torch.Generator().manual_seed(1)
        self.experts, self.top = experts, top
        make = lambda *shape: (torch.randn(*shape, generator=generator) * 0.02).to(dtype)
        self.gate, self.gate_up = make(experts, hidden), make(experts, 2 * neurons, hidden)
        self.down = make(experts, hidden, neurons)
        self.router = self.gate.float()
        self.shared = (make(2 * shared * neurons, hidden), make(hidden, shared * neurons)) if shared else None

    def named(self):
        """Tensors of the checkpoint."""
        tensors = {"gate": self.gate}
        for e in range(self.experts):
            tensors |= {f"gate_up.{e}": self.gate_up[e], f"down.{e}": self.down[e]}
        return tensors | (dict(zip(("shared_gate_up", "shared_down"), self.shared)) if self.shared else {})

    def ways(self, tokens):
        """Functions by name; those of torch.compile are compiled anew for this number of tokens."""
        torch._dynamo.reset()
        ways = {"loop": self.loop, "sorted": self.sorted, "grouped": self.grouped}
        if tokens * self.top <= 16:
            ways["gathered"] = self.gathered
        fastest = self.gathered if "gathered" in ways else self.grouped
        return ways | {"compiled_" + fastest.__name__: torch.compile(fastest, dynamic=False)}

    def route(self, x):
        weights, chosen = torch.topk(F.softmax(F.linear(x.float(), self.router), -1), self.top, -1)
        return (weights / weights.sum(-1, keepdim=True)).to(x.dtype), chosen

    def beside(self, x):
        """What the shared experts add."""
        return mlp(x, *self.shared) if self.shared else 0

    def loop(self, x):
        """Over the experts that have tokens, as transformers does."""
        weights, chosen = self.route(x)
        out = torch.zeros_like(x)
        mask = F.one_hot(chosen, self.experts).permute(2, 1, 0)
        for e in mask.sum((-1, -2)).nonzero().flatten().tolist():
            slot, token = torch.where(mask[e])
            out.index_add_(0, token, mlp(x[token], self.gate_up[e], self.down[e]) * weights[token, slot, None])
        return out + self.beside(x)

    def order(self, x):
        weights, chosen = self.route(x)
        flat = chosen.flatten()
        order = flat.argsort()
        return weights.flatten()[order], flat, order // self.top

    def sorted(self, x):
        """One product an expert, over tokens sorted once."""
        weights, flat, token = self.order(x)
        counts = torch.bincount(flat, minlength=self.experts).tolist()
        parts = [mlp(rows, self.gate_up[e], self.down[e]) for e, rows in enumerate(x[token].split(counts)) if counts[e]]
        return torch.zeros_like(x).index_add_(0, token, torch.cat(parts) * weights[:, None]) + self.beside(x)

    def grouped(self, x):
        """The same by grouped products."""
        weights, flat, token = self.order(x)
        ends = torch.zeros(self.experts, dtype=torch.int32).scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.int32))
        ends = ends.cumsum(0, dtype=torch.int32)
        gate, up = F.grouped_mm(x[token], self.gate_up.transpose(-2, -1), offs=ends).chunk(2, -1)
        y = F.grouped_mm(F.silu(gate) * up, self.down.transpose(-2, -1), offs=ends)
        return torch.zeros_like(x).index_add_(0, token, y * weights[:, None]) + self.beside(x)

    def gathered(self, x):
        """For few tokens: the chosen experts' weights gathered."""
        weights, chosen = self.route(x)
        flat = chosen.flatten()
        gate, up = torch.bmm(self.gate_up[flat], x.repeat_interleave(self.top, 0)[:, :, None]).squeeze(-1).chunk(2, -1)
        y = torch.bmm(self.down[flat], (F.silu(gate) * up)[:, :, None]).squeeze(-1)
        return (y.view(*chosen.shape, -1) * weights[..., None]).sum(1) + self.beside(x)


def mlp(x, gate_up, down):
    gate, up = F.linear(x, gate_up).chunk(2, -1)
    return F.linear(F.silu(gate) * up, down)

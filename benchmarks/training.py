"""Tokens per second of a prior's training step: vqgen's against three peers, in fp32 and in bf16 autocast.

    python benchmarks/training.py                  # the table in README.md, about 7 minutes on two idle cores
    python benchmarks/training.py --device cuda    # its table of a GPU
    python benchmarks/training.py --quick          # a toy size in seconds, to see that it runs; writes nothing

A step is forward, backward, clipping the gradient's norm, the optimizer's step, and forgetting the gradient. All have
one depth, width, vocabulary and batch, random weights, no dropout, and one loss: cross-entropy of 256 codes, each told
by those before it. Everyone's optimizer is AdamW, vqgen's its own, the peers' torch's fused one; one row more has
vqgen's Muon. All take turns within one process, so that a change in the machine's speed meets them all, with freed
memory kept (`vqgen.runtime`), which speeds the peers up too. Peak memory is that of a process of its own.

The limit is what the model's products would take at the rate at which this machine multiplies matrices of their size.
"""

import argparse
import contextlib
import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from limits import product_rate, synchronise
from recording import README, conditions, own_peak_megabytes, version_of, write_region, write_results
from sampling import Size
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.prior import Prior
from vqgen.runtime import prepared_runtime
from vqgen.training import MuonAdamW, Optimization

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
PEERS = {
    "transformers GPT-2": "transformers",
    "x-transformers": "x-transformers",
    "taming minGPT": "taming-transformers-rom1504",
}
LEARNING_RATE = 3e-4


@dataclass(frozen=True)
class Learner:
    """One contestant: a model, its loss of codes (b, n), each told by those before it, and its optimizer."""

    model: nn.Module
    loss: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer

    def step(self, sequence: Tensor, precision: str) -> None:
        """Learn from a batch."""
        with torch.autocast(sequence.device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = self.loss(sequence)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def build_vqgen(size: Size, device: str, style: str, optimization: Optimization) -> Learner:
    prior = Prior(
        size.vocabulary, size.height, size.width, dim=size.dim, depth=size.depth, heads=size.heads, style=style
    ).to(device)
    positions = torch.arange(size.steps, device=device)

    def loss(sequence: Tensor) -> Tensor:
        codes = sequence.view(-1, size.height, size.width)
        return prior.nll(codes, positions.expand(len(codes), -1)).mean()

    groups = optimization.parameter_groups(prior, [prior.head])
    optimizer = MuonAdamW(
        groups, lr=LEARNING_RATE, betas=optimization.betas, newton_schulz_steps=optimization.newton_schulz_steps
    )
    return Learner(prior, loss, optimizer)


def torch_adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), LEARNING_RATE, betas=(0.9, 0.95), fused=True)


def before(sequence: Tensor) -> Tensor:
    """The codes (b, n) a step later, after code 0: peers have no start of their own."""
    return F.pad(sequence[:, :-1], (1, 0))


def build_transformers(size: Size, device: str) -> Learner:
    transformers = importlib.import_module("transformers")  # of the extra `bench`, and slow to import
    config = transformers.GPT2Config(
        vocab_size=size.vocabulary,
        n_positions=size.steps,
        n_embd=size.dim,
        n_layer=size.depth,
        n_head=size.heads,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=None,
    )
    model = transformers.GPT2LMHeadModel(config).to(device).train()

    def loss(sequence: Tensor) -> Tensor:
        logits = model(before(sequence)).logits
        return F.cross_entropy(logits.flatten(0, 1), sequence.flatten())

    return Learner(model, loss, torch_adamw(model))


def build_x_transformers(size: Size, device: str) -> Learner:
    x_transformers = importlib.import_module("x_transformers")  # of the extra `bench`
    layers = x_transformers.Decoder(
        dim=size.dim, depth=size.depth, heads=size.heads, attn_dim_head=size.dim // size.heads, attn_flash=True
    )
    network = x_transformers.TransformerWrapper(num_tokens=size.vocabulary, max_seq_len=size.steps, attn_layers=layers)
    network = network.to(device).train()

    def loss(sequence: Tensor) -> Tensor:  # as its wrapper for training, which computes a row more
        return F.cross_entropy(network(before(sequence)).flatten(0, 1), sequence.flatten())

    return Learner(network, loss, torch_adamw(network))


def build_taming(size: Size, device: str) -> Learner:
    transformers = importlib.import_module("transformers")
    # Its file imports a function that newer `transformers` no longer have, and that training does not call.
    vars(transformers).setdefault("top_k_top_p_filtering", None)
    min_gpt = importlib.import_module("taming.modules.transformer.mingpt")
    model = min_gpt.GPT(size.vocabulary, size.steps, n_layer=size.depth, n_head=size.heads, n_embd=size.dim)
    model = model.to(device).train()
    return Learner(model, lambda sequence: model(before(sequence), targets=sequence)[1], torch_adamw(model))


ADAMW = Optimization(LEARNING_RATE, "adamw")
MUON = Optimization(LEARNING_RATE, "muon", newton_schulz_steps=3)  # as most of vqgen's configs have it

CONTESTANTS: dict[str, Callable[[Size, str], Learner]] = {
    "vqgen, gpt style": partial(build_vqgen, style="gpt", optimization=ADAMW),
    "vqgen, llama style": partial(build_vqgen, style="llama", optimization=ADAMW),
    "vqgen, llama style, Muon": partial(build_vqgen, style="llama", optimization=MUON),
    "transformers GPT-2": build_transformers,
    "x-transformers": build_x_transformers,
    "taming minGPT": build_taming,
}


def build(name: str, size: Size, device: str) -> Learner:
    torch.manual_seed(0)
    return CONTESTANTS[name](size, device)


def batches(size: Size, batch_size: int, device: str) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(1)
    while True:
        yield torch.randint(size.vocabulary, (batch_size, size.steps), generator=generator).to(device)


def rates(size: Size, options: argparse.Namespace) -> dict[tuple[str, str], list[float]]:
    """Tokens per second of every contestant in every precision, one per repeat."""
    learners = {name: build(name, size, options.device) for name in options.contestants}
    found: dict[tuple[str, str], list[float]] = {(name, p): [] for p in options.precisions for name in learners}
    few, whole = batches(size, 1, options.device), batches(size, options.batch_size, options.device)
    for name, precision in found:  # libraries load their kernels, optimizers make their averages
        learners[name].step(next(few), precision)
    for repeat in range(options.repeats):
        for name, precision in found:
            batch = next(whole)
            synchronise(options.device)
            start = time.perf_counter()
            for _ in range(options.steps):
                learners[name].step(batch, precision)
            synchronise(options.device)
            found[name, precision].append(options.steps * batch.numel() / (time.perf_counter() - start))
            print(f"{repeat + 1}/{options.repeats}  {precision}  {name:26s} {found[name, precision][-1]:8.1f} tokens/s")
            sys.stdout.flush()
    return found


def peak_megabytes(name: str, precision: str, options: argparse.Namespace) -> float:
    """Peak memory of a fresh process that builds the contestant and takes two steps; of a GPU its memory alone."""
    command = [sys.executable, __file__, "--memory-of", name, "--precisions", precision, "--device", options.device]
    command += ["--batch-size", str(options.batch_size), *(["--quick"] if options.quick else [])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def own_peak(name: str, size: Size, options: argparse.Namespace) -> float:
    learner = build(name, size, options.device)
    learner.step(next(batches(size, 1, options.device)), options.precisions[0])  # now the optimizer has its averages
    learner.step(next(batches(size, options.batch_size, options.device)), options.precisions[0])
    return own_peak_megabytes() if options.device == "cpu" else torch.cuda.max_memory_allocated() / 2**20


def products_per_token(size: Size) -> int:
    """Floating-point operations that a token needs in products, forward and backward; causal pairs count half."""
    weights = size.depth * 12 * size.dim**2 + size.vocabulary * size.dim
    attention = size.depth * size.dim * size.steps  # scores and mixtures: 2 products of n/2 keys, as of a weight each
    return 6 * (weights + attention)


def limit(size: Size, options: argparse.Namespace) -> dict[str, Any]:
    """What the products allow, for every precision."""
    needed = products_per_token(size)
    found: dict[str, Any] = {"operations_per_token": needed}
    for precision in options.precisions:
        rate = product_rate(  # of the feed-forward, the model's largest
            rows=options.batch_size * size.steps,
            narrow=size.dim,
            wide=4 * size.dim,
            dtype=PRECISIONS[precision],
            device=options.device,
        )
        found[precision] = {"operations_per_second": rate, "tokens_per_second": rate / needed}
    return found


def measure(size: Size, options: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    with prepared_runtime():
        allowed = limit(size, options)
        found = rates(size, options)
    results = []
    for (name, precision), each in found.items():
        row = {"contestant": name, "precision": precision, "tokens_per_second": each, "median": statistics.median(each)}
        results.append(
            row if options.no_memory else {**row, "peak_megabytes": peak_megabytes(name, precision, options)}
        )
    return results, allowed


def table(results: list[dict[str, Any]], allowed: dict[str, Any]) -> str:
    lines = [
        "| | precision | tokens/s, median (range) | against the fastest peer | of the limit | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for row in results:
        beside = [other for other in results if other["precision"] == row["precision"]]
        peers = [other["median"] for other in beside if other["contestant"] in PEERS]
        cells = [
            row["contestant"],
            row["precision"],
            f"{row['median']:.0f} ({min(row['tokens_per_second']):.0f} to {max(row['tokens_per_second']):.0f})",
            f"{row['median'] / max(peers):.2f}x" if peers else "",
            f"{row['median'] / allowed[row['precision']]['tokens_per_second']:.0%}",
            f"{row['peak_megabytes']:.0f} MB" if "peak_megabytes" in row else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for precision in dict.fromkeys(row["precision"] for row in results):
        found = allowed[precision]
        cells = ["limit", precision, f"{found['tokens_per_second']:.0f}"]
        cells += ["", f"{found['operations_per_second'] / 1e9:.0f} GFLOP/s", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def describe(size: Size, options: argparse.Namespace, allowed: dict[str, Any]) -> str:
    versions = ", ".join(f"{package} {version_of(package)}" for package in PEERS.values())
    return (
        f"{size.depth} layers of {size.dim}, vocabulary {size.vocabulary}, {size.steps} codes an image, "
        f"batch {options.batch_size}, {allowed['operations_per_token'] / 1e6:.0f} million operations a token; "
        f"{conditions(options.device)}, {versions}; freed memory kept for all; medians of {options.repeats} "
        f"interleaved repeats of {options.steps} step{'s' if options.steps > 1 else ''}."
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1, help="in a repeat; some tens on a GPU")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--device", default="cpu", help="such as cpu or cuda")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--quick", action="store_true", help="a toy size, one repeat, nothing written")
    parser.add_argument("--no-memory", action="store_true", help="leave out the processes that measure it")
    parser.add_argument("--memory-of", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.batch_size = 1, 2
    return options


def main() -> None:
    options = parse()
    size = Size(depth=2, dim=32, heads=2, vocabulary=64, height=4, width=4) if options.quick else Size()
    if options.memory_of:
        # Kept freed memory would count what a step no longer needs; denormals and threads do not matter here.
        with contextlib.redirect_stdout(sys.stderr):
            found = own_peak(options.memory_of, size, options)
        print(found)
        return
    results, allowed = measure(size, options)
    note = describe(size, options, allowed)
    print(f"\n{note}\n\n{table(results, allowed)}")
    whole = options.contestants == list(CONTESTANTS) and options.precisions == list(PRECISIONS)
    if options.quick or options.no_memory or not whole:
        return
    name = "training" if options.device == "cpu" else f"training-{options.device.partition(':')[0]}"
    write_results(name, {"size": asdict(size), "conditions": note, "limit": allowed, "results": results})
    write_region(README, name, f"{note}\n\n{table(results, allowed)}")


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()

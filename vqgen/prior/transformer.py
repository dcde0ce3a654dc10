"""The autoregressive Transformer prior: codes in any visiting order."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen.attention import (
    Attention,
    DenseAttention,
    DenseReach,
    KVCache,
    Linear,
    Memory,
    Places,
    attention_of,
    check_attentions,
    visible_to_group,
)
from vqgen.conditioning import Conditioner, LabelConditioner, PrefixNll, Told, Unconditional
from vqgen.prior.block import Block
from vqgen.prior.code_features import CodeFeatures
from vqgen.prior.code_transformer import CodeTransformer, check_arguments
from vqgen.prior.dropout import Dropout
from vqgen.prior.located import Located
from vqgen.prior.reversible import run_reversibly
from vqgen.prior.rows import Rows
from vqgen.prior.signals import RelativeAttention, combine_signals
from vqgen.prior.steps import NO_CELL, Steps, steps_asking, steps_of
from vqgen.prior.style import STYLES


class Prior(CodeTransformer):
    """A causal Transformer over codes that is told, at every step, which cell it is about to fill.

    ``log p(codes | condition) = sum_t log p(code at positions[t] | codes at positions[:t], positions[:t + 1],
    condition)``. The order is an argument, ``positions``: the same prior serves a fixed order, one order per image, or
    any mixture, as far as its signals let it know where it is. Step 0 reads a start vector that stands for the
    condition; step t reads the code of ``positions[t - 1]``. A conditioner may tell more than the start: a memory that
    every block looks at, rows that come before the start, or what to add to a step by the cell it predicts (see
    `vqgen.conditioning.Told`).

    Args:
        codebook_size: number of codes, k.
        height: rows of the grid, h.
        width: columns of the grid, w.
        num_classes: number of class labels; 0 for an unconditional prior.
        dim: width of the hidden states, d.
        depth: number of blocks.
        heads: attention heads per block; divides d.
        style: ``gpt`` or ``llama``, see `STYLES`.
        signals: names from `SIGNALS`, combined; at most one of them rotary, and `instruction` alone.
        dropout: probability in [0, 1) of dropping features of the input and of what each layer adds, in training mode.
        label_dropout: probability in [0, 1] of hiding a label in training mode.
        code_dim: width of the tokenizer's latents that `use_codebook` was given, see `CodeFeatures`; None without.
        attention: how the queries of a layer meet its keys; of several, layer i takes number i modulo their count. None
            for dense attention in every layer.
        conditioner: what makes of a condition what the prior is told, of width d; None takes class labels, or nothing
            where num_classes is 0.
        reversible: make the layers reversible, so that training keeps the activations of none, see `run_reversibly`;
            another model than without. None for layers as they usually are.

    Raises:
        ValueError: when a size, a name or a combination is not possible.

    Example:
        >>> import torch
        >>> prior = Prior(512, height=4, width=4, num_classes=10, dim=32, depth=2, heads=2)
        >>> sequence, positions = torch.randint(512, (3, 16)), torch.randperm(16)
        >>> prior(sequence, positions, torch.tensor([1, 5, -1])).shape
        torch.Size([3, 16, 512])

    Source: Esser et al., Taming Transformers (2012.09841), section 3.2; positions as an argument, Yu et al., Randomized
    Autoregressive Visual Generation (2411.00776), and Pannatier et al., sigma-GPTs (2404.09562).
    """

    compiled = False
    """Whether this is a copy made by `vqgen.sampling.compile_for_sampling`."""

    def __init__(
        self,
        codebook_size: int,
        height: int,
        width: int,
        num_classes: int = 0,
        *,
        dim: int = 512,
        depth: int = 12,
        heads: int = 8,
        style: str = "llama",
        signals: Sequence[str] = ("target", "rotary"),
        dropout: float = 0.0,
        label_dropout: float = 0.1,
        code_dim: int | None = None,
        attention: Attention | Sequence[Attention] | None = None,
        conditioner: Conditioner | None = None,
        reversible: bool | None = None,
    ) -> None:
        super().__init__()
        check_arguments(
            codebook_size=codebook_size,
            height=height,
            width=width,
            num_classes=num_classes,
            dim=dim,
            depth=depth,
            heads=heads,
            style=style,
            dropout=dropout,
            code_dim=code_dim,
            conditioner=conditioner,
        )
        self.codebook_size = codebook_size
        self.height = height
        self.width = width
        self.num_classes = num_classes
        self.dim = dim
        self.depth = depth
        self.heads = heads
        self.style = style
        self.signals = tuple(signals)
        self.dropout = dropout
        self.label_dropout = label_dropout
        self.code_dim = code_dim
        self.reversible = reversible
        # A tuple, so that it is no submodule: what layers use is theirs.
        self.attention = (attention,) if isinstance(attention, Attention) else attention
        if self.attention is not None:
            self.attention = tuple(self.attention)

        self.made_from_others = frozenset(() if conditioner is not None else ("conditioner",))
        self.conditioner: Conditioner = conditioner or (
            LabelConditioner(num_classes, dim, label_dropout) if num_classes else Unconditional(dim)
        )
        self.code_embedding = nn.Embedding(codebook_size, dim)
        self.code_features = None if code_dim is None else CodeFeatures(codebook_size, code_dim=code_dim, dim=dim)
        combined = combine_signals(self.signals, dim=dim, heads=heads, height=height, width=width)
        self.additive_signals, self.rotary_signal = combined.additive, combined.rotary
        self.rows = Rows(combined.rows)
        self.input_dropout = Dropout(dropout)
        self.attentions = check_attentions(
            self.attention or (DenseAttention(),), rows=combined.rows, turned=combined.rotary is not None
        )
        if combined.relative is not None:
            self.attentions = tuple([RelativeAttention(each, combined.relative) for each in self.attentions])
        self.blocks = nn.ModuleList(
            Block(
                dim,
                heads,
                style=STYLES[style],
                dropout=dropout,
                memory=self.conditioner.memory_rows > 0,
                attention=attention_of(self.attentions, layer).layer(dim=dim, heads=heads, height=height, width=width),
            )
            for layer in range(depth)
        )
        self.final_norm = STYLES[style].norm(dim)
        self.head = Linear(dim, codebook_size, bias=False)
        self._initialise()

    def forward(
        self,
        sequence: Int[Tensor, "b m"],
        positions: Int[Tensor, "b n"] | Int[Tensor, " n"],
        condition: Int[Tensor, "b *shape"] | None = None,
    ) -> Float[Tensor, "b m k"]:
        """Predict every code of a sequence from those before it (teacher forcing).

        Args:
            sequence: (b, m) int64 codes in visiting order, 1 <= m <= n; the last one is predicted and never read.
            positions: (b, n) or, for an order shared by the batch, (n,): raster index of the cell visited at each step.
            condition: (b,) int64 labels, -1 for none, or what else the conditioner takes; or None.

        Returns:
            (b, m, k) logits; those at t are of the code at ``positions[t]`` given ``sequence[:, :t]``.

        Raises:
            ValueError: when shapes do not fit, or a condition is given to an unconditional prior.
        """
        if sequence.shape[1] < 1:
            raise ValueError(
                "expected a sequence of at least one code, got none; the logits of step 0 need one to predict"
            )
        hidden, told = self._inputs(sequence[:, :-1], condition)
        located = self.locate(positions, batch_size=hidden.shape[0], steps=hidden.shape[1])
        return self._predict(hidden, located, None, False, told)

    def nll(
        self,
        codes: Int[Tensor, "b h w"],
        positions: Int[Tensor, "b n"],
        condition: Int[Tensor, "b *shape"] | None = None,
        *,
        generator: torch.Generator | None = None,
        label_smoothing: float = 0.0,
    ) -> Float[Tensor, "b n"]:
        """Negative log-likelihood of each code given those visited before it: what training minimises the mean of.

        Args:
            codes: (b, h, w) int64.
            positions: (b, n) raster index of the cell visited at each step, n = h * w.
            condition: (b,) int64 labels, -1 for none, or what else the conditioner takes; or None.
            generator: of kinds of prior that draw something besides the order; this one draws nothing.
            label_smoothing: share of probability spread over all codes, in [0, 1).

        Returns:
            (b, n) nats in visiting order, float32.
        """
        return self.joint_nll(codes, positions, condition, label_smoothing=label_smoothing)[0]

    def joint_nll(
        self,
        codes: Int[Tensor, "b h w"],
        positions: Int[Tensor, "b n"],
        condition: Int[Tensor, "b *shape"] | None = None,
        *,
        label_smoothing: float = 0.0,
    ) -> tuple[Float[Tensor, "b n"], PrefixNll | None]:
        """`nll`, and that of the condition itself where its rows come first and are modelled, in one pass.

        Args:
            codes: (b, h, w) int64.
            positions: (b, n) raster index of the cell visited at each step, n = h * w.
            condition: as in `forward`.
            label_smoothing: of the codes, share of probability spread over all of them, in [0, 1).

        Returns:
            (b, n) nats of the codes, float32, and the nats of the condition; None of one that is not modelled.

        Source: Ramesh et al., Zero-Shot Text-to-Image Generation (2102.12092), section 2.2.
        """
        sequence = codes.flatten(1).gather(1, positions)  # (b, h, w) -> (b, n), each image in its own order
        hidden, told = self._inputs(sequence[:, :-1], condition)
        located = self.locate(positions, batch_size=len(hidden), steps=hidden.shape[1])
        rows = self._transform(self.rows.spread(hidden), located, None, told)
        logits = self._logits(self.rows.read(rows[:, located.prefix :])).float()
        nats = F.cross_entropy(
            logits.flatten(0, 1), sequence.flatten(), reduction="none", label_smoothing=label_smoothing
        )
        return nats.view_as(sequence), self.conditioner.prefix_nll(rows[:, : located.prefix], told)

    def locate(
        self, positions: Int[Tensor, "b n"] | Int[Tensor, " n"], *, batch_size: int, steps: int | None = None
    ) -> Located:
        """Work out what the signals say of an order, once for a whole sequence.

        Args:
            positions: (b, n) or (n,) raster index of the cell visited at each step.
            batch_size: b, number of sequences.
            steps: how many steps to look at, from the first; all n when None.

        Returns:
            The order as the prior sees it, to pass to `advance` in place of the positions.

        Raises:
            ValueError: when the positions fit neither the batch nor the steps.
        """
        count = positions.shape[-1] if steps is None else steps
        run = steps_of(positions, first=0, count=count, batch_size=batch_size)
        return self._reaching(self._locate(run).after(self.conditioner.prefix_rows), self._places(run))

    def locate_groups(
        self, positions: Int[Tensor, "b n"] | Int[Tensor, " n"], *, groups: Sequence[int], known: int, batch_size: int
    ) -> dict[int, Located]:
        """Work out at once what every pass of decoding in groups is told, which spares doing so at every pass.

        Args:
            positions: (b, n) or (n,) raster index of the cell visited at each step.
            groups: sizes of the groups in visiting order.
            known: codes that are known before the first of them.
            batch_size: b, number of sequences.

        Returns:
            By the number of codes known before it, what to pass to `advance` in place of the positions, for groups of
            more than one cell; none where what a row may see is not simply what came before.

        Raises:
            ValueError: when the positions do not fit the batch.
        """
        starts = list(accumulate(groups, initial=known))[:-1]
        firsts = [0, *(start + 1 for start in starts)]  # the step after those that the pass before left in the cache
        passes = [item for item in zip(firsts, starts, groups, strict=False) if item[2] > 1]
        simple = self.rows.per_step == 1 and not self.conditioner.prefix_rows
        if not passes or not simple or any(type(attention) is not DenseAttention for attention in self.attentions):
            return {}
        whole = steps_of(positions, first=0, count=positions.shape[-1], batch_size=batch_size)
        steps = [[*range(first, start), *[start] * size] for first, start, size in passes]
        cells = [range(first, start + size) for first, start, size in passes]
        step, cell = (
            torch.tensor([i for run in runs for i in run], device=positions.device) for runs in (steps, cells)
        )
        located = self._locate(Steps(step, whole.content.index_select(1, step), whole.target.index_select(1, cell)))
        told, begin = {}, 0
        for (first, start, size), run in zip(passes, steps, strict=True):
            visible = visible_to_group(cached=first, committed=start - first, questions=size, device=positions.device)
            part = replace(located.cut(begin, len(run)), questions=size, reaches=(DenseReach(visible),))
            told[start], begin = part, begin + len(run)
        return told

    def _places(self, run: Steps) -> Places:
        index, content, target = run.index, run.content, run.target
        if self.rows.per_step > 1:
            index, content, target = (
                tensor.repeat_interleave(self.rows.per_step, dim=-1) for tensor in (index, content, target)
            )
        content_step, prefix = index - 1, self.conditioner.prefix_rows
        if prefix:
            target, content, index, content_step = (
                F.pad(tensor, (prefix, 0), value=NO_CELL) for tensor in (target, content, index, content_step)
            )
        return Places(target, content, 0, self.height, self.width, step=index, content_step=content_step, prefix=prefix)

    def _reaching(self, located: Located, places: Places) -> Located:
        return replace(located, reaches=tuple([attention.reach(places) for attention in self.attentions]))

    def _locate(self, run: Steps) -> Located:
        vectors = [signal(run) for signal in self.additive_signals.values()]
        added = sum(vectors[1:], start=vectors[0]) if vectors else None
        rotation = None if self.rotary_signal is None else self.rotary_signal(run)
        target = run.target  # with several rows a step the last one predicts
        if self.rows.per_step > 1:
            target = F.pad(target[..., None], (self.rows.per_step - 1, 0), value=NO_CELL).flatten(1)
        return Located(added, rotation, self.rows.per_step, target)

    def advance(
        self,
        previous: Int[Tensor, "b p"],
        positions: Int[Tensor, "b n"] | Int[Tensor, " n"] | Located,
        cache: KVCache,
        condition: Int[Tensor, "b *shape"] | None = None,
        *,
        last_only: bool = False,
        cells: Int[Tensor, "b q"] | Int[Tensor, " q"] | None = None,
    ) -> Float[Tensor, "b m k"]:
        """Take in the codes just found and predict what comes next, computing only the new steps.

        With an empty cache the run begins with step 0: ``previous`` is the known beginning of the sequence, of any
        length p >= 0, and the logits are those of the m = p + 1 steps ``0 .. p``. Afterwards each call takes the p >= 1
        codes that followed and gives the logits of the m = p steps after them.

        With ``cells``, the last step is asked about each of these cells instead of ``positions`` at that step: given
        the codes known so far, where the order goes next is a free choice. All answers are those of a full forward pass
        in which that cell comes next; the questions do not see each other. The cache keeps the first cell as the one
        that is visited next, for which the order has to name it then; ``cache.trim(cache.length - 1)`` takes that back.

        Args:
            previous: (b, p) int64 codes in visiting order that the cache has not seen yet.
            positions: (b, n) or (n,) the whole order, the same at every call; or what `locate` made of it, which spares
                doing so at every call; or what `locate_groups` says of this pass, which asks as ``cells`` does.
            cache: from `new_cache`, for this batch; it grows by m steps.
            condition: (b,) int64 labels, or what else the conditioner takes, or None; read at step 0 only.
            last_only: give only the logits of the last step, (b, 1, k), and spare the others' cost.
            cells: (b, q) or (q,) raster indices of q unvisited cells to predict at the last step. The positions are
                then given themselves, and are looked at up to the last known step only.

        Returns:
            (b, m, k) logits, or (b, 1, k) with ``last_only``, or (b, q, k) with ``cells``.

        Raises:
            TypeError: when cells come with what `locate` made of the positions.
            ValueError: when shapes do not fit, or the grid is already full.

        Example:
            >>> import torch
            >>> prior = Prior(16, height=2, width=2, dim=8, depth=1, heads=1)
            >>> sequence, positions, cache = torch.randint(16, (3, 4)), torch.randperm(4), prior.new_cache(3)
            >>> first = prior.advance(sequence[:, :2], positions, cache)
            >>> then = prior.advance(sequence[:, 2:3], positions, cache)
            >>> bool(torch.allclose(torch.cat((first, then), 1), prior(sequence, positions), atol=1e-5))
            True
        """
        first, told = cache.length, None
        if first == 0:
            hidden, told = self._inputs(previous, condition)
        elif previous.shape[1] < 1:
            raise ValueError(f"expected at least one code to follow the {first} steps in the cache, got none")
        else:
            hidden = self._embed(previous)
        if cells is not None:
            return self._ask(hidden, positions, cells, cache, told)
        if isinstance(positions, Located) and positions.questions:
            return self._answer(hidden, positions, cache, told)
        located = positions if isinstance(positions, Located) else self.locate(positions, batch_size=len(hidden))
        return self._predict(hidden, located.cut(first, hidden.shape[1]), cache, last_only, told)

    def new_cache(self, batch_size: int) -> KVCache:
        """Make an empty cache with room for every cell of the grid.

        Args:
            batch_size: b, sequences that advance together.

        Returns:
            The cache, on the prior's device and in its precision, to pass to `advance`.

        Raises:
            ValueError: when the batch size is below 1.
        """
        weight, prefix = self.code_embedding.weight, self.conditioner.prefix_rows
        rows, head_dim = prefix + self.height * self.width * self.rows.per_step, self.dim // self.heads
        sizes, dtype, device = (batch_size, self.heads, rows, head_dim), weight.dtype, weight.device
        each = (attention_of(self.attentions, layer) for layer in range(self.depth))
        return KVCache(
            layers=self.depth,
            batch_size=batch_size,
            heads=self.heads,
            steps=self.height * self.width,
            head_dim=head_dim,
            rows=self.rows.per_step,
            prefix=prefix,
            dtype=dtype,
            device=device,
            layer_caches=(one.layer_cache(sizes, prefix=prefix, dtype=dtype, device=device) for one in each),
        )

    def _inputs(
        self, codes: Int[Tensor, "b p"], condition: Int[Tensor, "b *shape"] | None
    ) -> tuple[Float[Tensor, "b p+1 d"], Told]:
        told = self.conditioner(condition, codes.shape[0])
        return torch.cat((told.start[:, None], self._embed(codes)), dim=1), told

    def _predict(
        self,
        hidden: Float[Tensor, "b m d"],
        located: Located,
        cache: KVCache | None,
        last_only: bool,
        told: Told | None = None,
    ) -> Float[Tensor, "b _ k"]:
        rows = self._transform(self.rows.spread(hidden), located, cache, told)
        hidden = self.rows.read(rows[:, located.prefix :])
        return self._logits(hidden[:, -1:] if last_only else hidden)

    def _ask(
        self,
        hidden: Float[Tensor, "b p d"],
        positions: Int[Tensor, "b n"] | Int[Tensor, " n"] | Located,
        cells: Int[Tensor, "b q"] | Int[Tensor, " q"],
        cache: KVCache,
        told: Told | None,
    ) -> Float[Tensor, "b q k"]:
        if isinstance(positions, Located):
            raise TypeError("expected the positions themselves beside cells, got what locate made of them")
        first, count, questions = cache.length, hidden.shape[1], cells.shape[-1]
        whole = steps_asking(positions, cells, first=0, count=first + count, batch_size=len(hidden))
        located = self._locate(Steps(whole.index[first:], whole.content[:, first:], whole.target[:, first:]))
        kept, prefix = None, 0 if told is None else self.conditioner.prefix_rows
        if self.rows.per_step > 1:
            kept = self.rows.asked(steps=count - 1, questions=questions, device=hidden.device)
            located = located.pick(kept)
            kept = torch.cat((torch.arange(prefix, device=kept.device), prefix + kept))
        rows = count * self.rows.per_step + questions - 1
        visible = visible_to_group(
            cached=cache.held, committed=prefix + rows - questions, questions=questions, device=hidden.device
        )
        places = self._places(whole).asking(cache.held, kept, visible)
        located = self._reaching(located.after(prefix), places)
        return self._answer(hidden, replace(located, questions=questions), cache, told)

    def _answer(
        self, hidden: Float[Tensor, "b p d"], located: Located, cache: KVCache, told: Told | None
    ) -> Float[Tensor, "b q k"]:
        first, count, questions = cache.length, hidden.shape[1], located.questions
        rows = self.rows.spread(torch.cat((hidden, hidden[:, -1:].expand(-1, questions - 1, -1)), dim=1))
        if self.rows.per_step > 1:
            rows = rows.index_select(1, self.rows.asked(steps=count - 1, questions=questions, device=rows.device))
        answers = self._transform(rows, located, cache, told)[:, -questions:]
        cache.trim(first + count)  # the first question is the step that was taken; the others were never taken
        return self._logits(answers)

    def _transform(
        self,
        hidden: Float[Tensor, "b m d"],
        located: Located,
        cache: KVCache | None,
        told: Told | None = None,
    ) -> Float[Tensor, "b _ d"]:
        """Carry rows through all blocks; where a condition is told, the rows it puts before them go with them."""
        if told is not None and told.prefix is not None:
            hidden = torch.cat((told.prefix.to(hidden.dtype), hidden), dim=1)
        if located.added is not None:
            hidden = hidden + located.added
        memories, cells = self._remember(told, cache)
        if cells is not None:
            assert located.target is not None
            hidden = hidden + cells[torch.arange(len(hidden), device=hidden.device)[:, None], located.target]
        return self._layers(self.input_dropout(hidden), located, cache, memories)

    def _layers(
        self,
        hidden: Float[Tensor, "b m d"],
        located: Located,
        cache: KVCache | None,
        memories: Sequence[Memory | None],
    ) -> Float[Tensor, "b m d"]:
        halves = []
        for index, block in enumerate(self.blocks):
            reach = located.reaches[index % len(located.reaches)]
            layer = None if cache is None else cache.layers[index]
            if self.reversible:
                assert isinstance(block, Block)
                halves.append(block.halves(located.rotation, layer, reach, memories[index]))
            else:
                hidden = block(hidden, located.rotation, layer, reach, memories[index])
        normalised: Tensor = self.final_norm(run_reversibly(hidden, halves) if halves else hidden)
        return normalised

    def _remember(
        self, told: Told | None, cache: KVCache | None
    ) -> tuple[Sequence[Memory | None], Float[Tensor, "b cells d"] | None]:
        """What every block looks at besides, and what is added by cell: made in the first pass, then in the cache."""
        if told is None:
            return ([None] * self.depth, None) if cache is None else ([it.memory for it in cache.layers], cache.cells)
        memories: list[Memory | None] = [None] * self.depth
        if told.memory is not None:
            for index, block in enumerate(self.blocks):
                assert isinstance(block, Block)
                assert block.cross_attention is not None
                memories[index] = block.cross_attention.remember(told.memory, told.memory_mask)
        # The index -1, no cell, reaches a last row of nothing.
        cells = None if told.cells is None else F.pad(told.cells, (0, 0, 0, 1))
        if cache is not None:
            cache.cells = cells
            for layer, memory in zip(cache.layers, memories, strict=True):
                layer.memory = memory
        return memories, cells

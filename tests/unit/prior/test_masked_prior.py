import inspect
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from vqgen.attention import BidirectionalAttention
from vqgen.conditioning import LabelConditioner
from vqgen.prior import MASKINGS, STYLES, MaskedPrior, Prior


def small_prior(**settings: object) -> MaskedPrior:
    return MaskedPrior(**{"codebook_size": 20, "height": 2, "width": 3, "dim": 16, "depth": 2, "heads": 2, **settings})


def lively_prior(**settings: object) -> MaskedPrior:
    torch.manual_seed(0)
    prior = small_prior(**settings)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


def orders(count: int, cells: int = 6) -> torch.Tensor:
    return torch.stack([torch.randperm(cells) for _ in range(count)])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("masking", MASKINGS)
@pytest.mark.parametrize("training", [True, False])
def test_the_loss_starts_at_what_knowing_nothing_costs(style: str, masking: str, training: bool) -> None:
    prior = small_prior(style=style, masking=masking, num_classes=3).train(training)
    loss = prior.nll(torch.randint(20, (4, 2, 3)), orders(4), torch.tensor([0, 1, 2, -1])).mean()
    assert loss.item() == pytest.approx(math.log(20), rel=1e-5)


def test_it_learns_what_the_visible_codes_say_of_the_others() -> None:
    torch.manual_seed(0)
    prior = small_prior(num_classes=2, label_dropout=0.0, masking="uniform")
    optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-2)
    for _ in range(120):
        labels = torch.randint(2, (32,))
        codes = (torch.randint(10, (32, 1)) + torch.arange(6) * (1 + labels[:, None])).view(32, 2, 3)
        loss = prior.nll(codes, orders(32), labels).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    one_hidden = torch.zeros(32, 2, 3, dtype=torch.bool)
    one_hidden[:, 1, 0] = True
    assert prior.eval().nats(codes, one_hidden, labels).sum().item() / 32 < 1.5  # place and label alone leave log 10


@pytest.mark.parametrize("masking", MASKINGS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_hidden_cells_weigh_as_the_masking_says(masking: str, label_smoothing: float) -> None:
    prior, codes, positions = lively_prior(masking=masking), torch.randint(20, (4, 2, 3)), orders(4)
    generator = torch.Generator().manual_seed(1)
    found = prior.nll(codes, positions, generator=generator, label_smoothing=label_smoothing)
    hidden = torch.zeros(4, 6, dtype=torch.bool).scatter_(1, positions, found > 0).view(4, 2, 3)
    logits = prior(codes, hidden)[hidden]
    smooth = F.cross_entropy(logits, codes[hidden], reduction="none", label_smoothing=label_smoothing)
    by_image = torch.stack([part.mean() for part in smooth.split(hidden.flatten(1).sum(dim=1).tolist())])
    torch.testing.assert_close(found.mean(), smooth.mean() if masking == "cosine" else by_image.mean())


def test_what_is_hidden_does_not_depend_on_the_order() -> None:
    prior, codes = lively_prior(), torch.randint(20, (50, 2, 3))
    shuffled, raster = orders(50), torch.arange(6).expand(50, -1)
    found, same = (prior.nll(codes, each, generator=torch.Generator().manual_seed(2)) for each in (shuffled, raster))
    assert torch.equal(same.gather(1, shuffled), found)
    assert ((same > 0).sum(dim=0) > 15).all()  # in raster order too, every cell is hidden at times
    assert ((same > 0).sum(dim=0) < 50).all()


def test_evaluation_hides_by_the_generator_whatever_the_masking() -> None:
    codes, positions = torch.randint(20, (4, 2, 3)), orders(4)
    first, again, other, uniform = (
        lively_prior(masking=masking).eval().nll(codes, positions, generator=torch.Generator().manual_seed(seed))
        for masking, seed in (("cosine", 0), ("cosine", 0), ("cosine", 5), ("uniform", 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first, uniform)


@pytest.mark.parametrize("num_classes", [0, 5])
@pytest.mark.parametrize("style", STYLES)
def test_every_parameter_receives_a_gradient(style: str, num_classes: int) -> None:
    prior = lively_prior(style=style, num_classes=num_classes)
    hidden = torch.tensor([True, False, True, False, True, False]).view(1, 2, 3).expand(2, -1, -1)
    condition = torch.tensor([0, 1]) if num_classes else None
    prior(torch.randint(20, (2, 2, 3)), hidden, condition).square().sum().backward()
    assert [name for name, parameter in prior.named_parameters() if parameter.grad is None] == []


def test_every_constructor_argument_is_kept_and_the_prior_comes_back_from_its_folder(tmp_path: Path) -> None:
    prior = lively_prior(num_classes=4, signals=["cell", "rotary"], masking="uniform")
    arguments = {name: getattr(prior, name) for name in inspect.signature(MaskedPrior).parameters}
    assert arguments["signals"] == ("cell", "rotary")
    prior.use_codebook(torch.randn(20, 5))
    again = MaskedPrior.from_pretrained(prior.save_pretrained(tmp_path / "prior"))
    codes, hidden = torch.randint(20, (2, 2, 3)), torch.rand(2, 2, 3) < 0.5
    assert torch.equal(again(codes, hidden), prior.eval()(codes, hidden))
    assert (again.masking, again.code_dim) == ("uniform", 5)
    with pytest.raises(ValueError, match=r"expected a Prior in .*, found a MaskedPrior"):
        Prior.from_pretrained(tmp_path / "prior")


def test_an_injected_conditioner_and_attention_come_back_too(tmp_path: Path) -> None:
    prior = lively_prior(conditioner=LabelConditioner(3, 16), attention=BidirectionalAttention())
    again = MaskedPrior.from_pretrained(prior.save_pretrained(tmp_path / "prior"))
    codes, hidden, labels = torch.randint(20, (2, 2, 3)), torch.rand(2, 2, 3) < 0.5, torch.tensor([2, -1])
    assert torch.equal(again(codes, hidden, labels), prior.eval()(codes, hidden, labels))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "depth must be >= 1, got depth=0"),
        ({"num_classes": -1}, "num_classes must be >= 0, got -1"),
        ({"heads": 3}, "dim must be divisible by heads, got dim=16 and heads=3"),
        ({"style": "bert"}, "style must be one of gpt, llama, got 'bert'"),
        ({"dropout": 1.0}, r"dropout must be a probability in \[0, 1\), got 1.0"),
        ({"signals": ("step", "double")}, "among cell, target, rotary, got step, double: it has no steps to tell of"),
        ({"masking": "arccos"}, "masking must be one of cosine, uniform, got 'arccos'"),
        ({"conditioner": LabelConditioner(3, 8)}, "as wide as the prior, got dim=8 of the conditioner and 16"),
        ({"conditioner": LabelConditioner(3, 16), "num_classes": 3}, "both say what the prior is told"),
    ],
)
def test_what_is_not_possible_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_prior(**settings)


def test_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected codes of 2 x 3 cells, got \(3, 2\)"):
        small_prior()(torch.zeros(1, 3, 2).long(), torch.ones(1, 3, 2).bool())

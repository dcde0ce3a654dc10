"""The search for an order: against a naive search, on codes with a structure to find, and from the command line."""

import json

import pytest
import torch
from made_plan import CODES, SIDE, chain_codes, make_plan
from torch.nn import functional as F

from vqgen import Prior
from vqgen.cli import main
from vqgen.compare import Budget, run_plan
from vqgen.compare.run import run_folder
from vqgen.compare.search import improve_order, order_nats, search_order
from vqgen.orders import ScanOrder, scan_order


@pytest.fixture(scope="module")
def prior():
    """A prior with opinions, of every kind of cell."""
    torch.manual_seed(0)
    prior = Prior(8, height=2, width=3, num_classes=2, dim=16, depth=2, heads=2, dropout=0.2)
    for parameter in prior.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    return prior


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(8, (10, 2, 3), generator=generator), torch.randint(2, (10,), generator=generator)


def naive_nats(prior, codes, labels, visited, cell):
    """Mean nats of a cell's code given the visited ones, by a full forward pass."""
    positions = torch.tensor([*visited, cell])
    sequence = codes.flatten(1)[:, positions]
    with torch.no_grad():
        logits = prior.eval()(sequence, positions, labels)
    return F.cross_entropy(logits[:, -1], sequence[:, -1]).item()


@pytest.mark.parametrize("objective", ["easiest", "hardest", "informative"])
def test_search_is_the_naive_search(prior, data, objective):
    codes, labels = data
    visited = []
    for _ in range(6):
        left = [cell for cell in range(6) if cell not in visited]
        nats = {cell: naive_nats(prior, codes, labels, visited, cell) for cell in left}
        if objective == "informative":
            scores = {
                cell: -sum(
                    nats[other] - naive_nats(prior, codes, labels, [*visited, cell], other)
                    for other in left
                    if other != cell
                )
                for cell in left
            }
        else:
            scores = nats if objective == "easiest" else {cell: -value for cell, value in nats.items()}
        visited.append(min(scores, key=scores.get))
    prior.train()
    steps = []
    found = search_order(
        prior, codes, labels, objective=objective, batch_size=4, on_step=lambda *done: steps.append(done)
    )
    assert found.order.positions.tolist() == visited
    assert found.order.name == f"{objective}-first"
    assert steps == [(step, 6) for step in range(1, 7)]
    assert prior.training  # left as it was


def test_nats_of_an_order_are_those_of_its_steps(prior, data):
    codes, labels = data
    order = scan_order("snake", height=2, width=3)
    visited = order.positions.tolist()
    expected = sum(naive_nats(prior, codes, labels, visited[:t], visited[t]) for t in range(6)) / 6
    assert order_nats(prior, codes, order, labels, batch_size=3) == pytest.approx(expected, rel=1e-5)


def test_exchanges_never_make_it_worse_and_are_repeatable(prior, data):
    codes, labels = data
    start = scan_order("random", height=2, width=3, seed=3)
    before = order_nats(prior, codes, start, labels)
    found = improve_order(prior, codes, start, labels, proposals=12, seed=4)
    assert found.nats < before
    assert found.nats == pytest.approx(order_nats(prior, codes, found.order, labels))
    assert found.order == improve_order(prior, codes, start, labels, proposals=12, seed=4).order
    assert improve_order(prior, codes, start, labels, proposals=0).order == start


def test_codes_of_another_grid_are_refused(prior):
    with pytest.raises(ValueError, match=r"shape \(b, 2, 3\)"):
        search_order(prior, torch.zeros(2, 3, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"shape \(b, 2, 3\)"):
        order_nats(prior, torch.zeros(2, 3, 3, dtype=torch.int64), scan_order("raster", height=2, width=3))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A pipeline trained on random orders, on codes that follow the raster in each other."""
    folder = tmp_path_factory.mktemp("search")
    plan = make_plan(
        folder, orders=("random-per-sample", "raster"), seeds=(0,), budget=Budget(steps=200), keep_models=True
    )
    run_plan(plan, indices=[0], say=lambda line: None)
    return folder, run_folder(plan, plan.runs()[0]) / "pipeline"


def test_order_found_from_the_command_line_is_good_and_can_be_named(workspace, capsys, monkeypatch):
    folder, pipeline = workspace
    out = folder / "found.json"
    main(["orders", "search", str(pipeline), "--codes", str(folder / "codes"), "--count", "200", "--out", str(out)])
    printed = capsys.readouterr().out
    assert f"wrote {out}" in printed
    ranked = [line.split()[1] for line in printed.splitlines() if line.startswith("  ")]
    assert ranked.index("found") < ranked.index("random")
    found = ScanOrder.load(out)
    assert (found.name, found.height, found.width) == ("found", SIDE, SIDE)
    # Codes that follow each other along the raster: most visits come right after or before a known neighbour of it.
    cells = found.positions.tolist()
    beside = [any(abs(cell - known) == 1 for known in cells[:at]) for at, cell in enumerate(cells)]
    assert sum(beside[1:]) >= 10
    plan = make_plan(
        folder, folder=str(folder / "then"), orders=("raster", str(out)), seeds=(0,), budget=Budget(steps=2)
    )
    assert [run.contender for run in run_plan(plan, say=lambda line: None).finished] == ["raster", "found"]


def test_search_on_images_encodes_them(workspace, capsys):
    folder, pipeline = workspace
    source = ["--images", "SyntheticImages", "--images.count", "16", "--images.size", "16", "--images.num_classes", "2"]
    options = ["--objective", "hardest", "--swaps", "2", "--out", str(folder / "hard.json")]
    main(["orders", "search", str(pipeline), *source, *options])
    assert json.loads((folder / "hard.json").read_text())["name"] == "hard"
    assert "on the 8 images searched on; on the other 8" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "either --codes FOLDER or --images SOURCE"),
        (["--codes", "codes", "--out", "order.yaml"], "must end in .json"),
        (["--codes", "nowhere"], "holds no codes"),
    ],
)
def test_search_says_what_is_wrong(workspace, monkeypatch, capsys, options, expected):
    folder, pipeline = workspace
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        main(["orders", "search", str(pipeline), *options])
    assert stop.value.code == 2
    assert expected in capsys.readouterr().err


def test_search_refuses_a_prior_of_one_order(tmp_path, capsys):
    plan = make_plan(tmp_path, orders=("raster",), seeds=(0,), budget=Budget(steps=1), keep_models=True)
    run_plan(plan, say=lambda line: None)
    pipeline = run_folder(plan, plan.runs()[0]) / "pipeline"
    with pytest.raises(SystemExit):
        main(["orders", "search", str(pipeline), "--codes", str(tmp_path / "codes")])
    assert "trained in the order 'raster'" in capsys.readouterr().err


def test_chain_codes_have_the_structure_that_the_tests_rely_on():
    codes = chain_codes(400, 0).flatten(1)
    pairs = torch.zeros(CODES, CODES)
    pairs.index_put_((codes[:, 4], codes[:, 5]), torch.tensor(1.0), accumulate=True)
    assert (pairs.max(1).values / pairs.sum(1)).mean() > 0.8

"""The pipeline: what it generates, what it records, and what it refuses."""

import json

import pytest
import torch

from vqgen import Pipeline, Prior, Tokenizer
from vqgen.orders import ScanOrder, order_policy, scan_order
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.sampling import group_sizes, sample_by_confidence, sample_groups
from vqgen.tokenizer import Decoder, Encoder

NAMES = ("cats", "dogs", "7")


def make_tokenizer(seed: int = 0) -> Tokenizer:
    torch.manual_seed(seed)
    size = {"channels": 8, "multipliers": (1, 2), "latent_channels": 8, "blocks": 1, "attention_at": ()}
    return Tokenizer(Encoder(**size), Decoder(**size), EMAVectorQuantizer(16, 4))


def make_pipeline(order: str = "hilbert", num_classes: int = 3) -> Pipeline:
    tokenizer = make_tokenizer()
    prior = Prior(16, 4, 6, num_classes, dim=16, depth=2, heads=2)
    torch.nn.init.normal_(prior.head.weight, std=1.0)
    names = NAMES[:num_classes]
    return Pipeline(tokenizer, prior, order_policy(order, height=4, width=6, seed=3), names)


def test_generated_images_have_the_grid_size_times_the_cell():
    images = make_pipeline().generate(3, "dogs", top_k=5, guidance=1.5, seed=1)
    assert images.shape == (3, 3, 8, 12)
    assert images.abs().max() <= 1


def test_images_do_not_depend_on_count_or_batch_size():
    pipeline = make_pipeline()
    labels = ["cats", "dogs", "7", "cats", "dogs"]
    together = pipeline.generate_codes(5, labels, seed=4)
    apart = pipeline.generate_codes(5, labels, seed=4, batch_size=2)
    fewer = pipeline.generate_codes(2, labels[:2], seed=4)
    assert torch.equal(together, apart)
    assert torch.equal(together[:2], fewer)
    assert not torch.equal(together, pipeline.generate_codes(5, labels, seed=5))


def test_a_prefix_is_kept():
    pipeline = make_pipeline("spiral-out")
    order = pipeline.resolve_order(None)
    codes = pipeline.generate_codes(2, seed=1)
    prefix = order.scan(codes)[:, :9]
    completed = pipeline.generate_codes(2, seed=2, prefix=prefix)
    assert torch.equal(order.scan(completed)[:, :9], prefix)


@pytest.mark.parametrize("order", ["hilbert", "random", "random-per-sample", "mixture:raster=1,snake=2"])
def test_round_trip_keeps_order_names_and_images(tmp_path, order):
    pipeline = make_pipeline(order)
    pipeline.save_pretrained(tmp_path / "model")
    loaded = Pipeline.from_pretrained(tmp_path / "model")
    assert loaded.order.describe() == pipeline.order.describe()
    assert loaded.class_names == NAMES
    assert torch.equal(loaded.generate(2, 1, seed=3), pipeline.generate(2, 1, seed=3))


def test_another_order_is_refused_naming_both():
    with pytest.raises(ValueError, match=r"trained in the order 'hilbert' and knows no other, got 'raster'"):
        make_pipeline().generate(1, order="raster")


def test_an_any_order_prior_takes_every_order():
    pipeline = make_pipeline("random-per-sample")
    assert pipeline.generate(1, order="spiral-in").shape == (1, 3, 8, 12)
    assert pipeline.resolve_order(None).name == "raster"
    assert pipeline.resolve_order(scan_order("snake", height=4, width=6)).name == "snake"


def test_a_prior_trained_in_several_orders_takes_those_and_the_most_frequent_by_default():
    pipeline = make_pipeline("mixture:raster=1,hilbert=2")
    assert pipeline.resolve_order(None).name == "hilbert"
    assert pipeline.resolve_order("raster").name == "raster"
    with pytest.raises(ValueError, match=r"trained in the orders 'hilbert', 'raster' and knows no other, got 'snake'"):
        pipeline.resolve_order("snake")


def test_an_order_file_names_an_order_and_a_saved_prior_does_without_it(tmp_path):
    order = scan_order("spiral-in", height=4, width=6)
    path = ScanOrder("mine", 4, 6, order.positions.flip(0)).save(tmp_path / "mine.json")
    any_order = make_pipeline("random-per-sample")
    assert any_order.resolve_order(str(path)).name == "mine"
    pipeline = make_pipeline(str(path))
    assert pipeline.resolve_order(str(path)) == pipeline.resolve_order("mine") == pipeline.order.fixed
    pipeline.save_pretrained(tmp_path / "model")
    path.unlink()
    loaded = Pipeline.from_pretrained(tmp_path / "model")
    assert torch.equal(loaded.resolve_order(None).positions, order.positions.flip(0))


def test_an_annealed_prior_is_a_mixture_before_the_end_and_its_target_after_it(tmp_path):
    policy = order_policy("annealed:random-per-sample->hilbert@10-20", height=4, width=6)
    pipeline = make_pipeline()
    for step, takes_any in ((15, True), (20, False)):
        Pipeline(pipeline.tokenizer, pipeline.prior, policy.at(step)).save_pretrained(tmp_path / "model")
        loaded = Pipeline.from_pretrained(tmp_path / "model")
        assert loaded.order.takes_any is takes_any
        assert loaded.resolve_order(None).name == "hilbert"
    with pytest.raises(ValueError, match=r"trained in the order 'hilbert' and knows no other, got 'raster'"):
        loaded.generate(1, order="raster")


def test_an_order_for_another_grid_is_refused():
    with pytest.raises(ValueError, match="visits a grid of 4 x 4, the prior models one of 4 x 6"):
        make_pipeline("random-per-sample").generate(1, order=scan_order("snake", height=4, width=4))


def test_another_tokenizer_is_refused_naming_both(tmp_path):
    pipeline = make_pipeline()
    pipeline.save_pretrained(tmp_path / "model")
    other = make_tokenizer(seed=1)
    other.save_pretrained(tmp_path / "model" / "tokenizer")
    expected = f"{pipeline.tokenizer.fingerprint()}.*{other.fingerprint()}"
    with pytest.raises(ValueError, match=expected):
        Pipeline.from_pretrained(tmp_path / "model")


def test_a_changed_order_on_disk_is_refused(tmp_path):
    make_pipeline().save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "prior" / "config.json"
    config = json.loads(path.read_text())
    config["metadata"]["order"]["name"] = "snake"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="snake"):
        Pipeline.from_pretrained(tmp_path / "model")


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="prior"):
        Pipeline.from_pretrained(tmp_path)


def test_a_prior_saved_without_its_order_is_refused(tmp_path):
    pipeline = make_pipeline()
    pipeline.tokenizer.save_pretrained(tmp_path / "tokenizer")
    pipeline.prior.save_pretrained(tmp_path / "prior")
    with pytest.raises(ValueError, match="does not record its order and tokenizer"):
        Pipeline.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [(None, None), ("dogs", [1, 1]), (2, [2, 2]), ("7", [2, 2]), (["cats", 1], [0, 1]), ("-1", [-1, -1])],
)
def test_conditions_by_name_and_number(condition, expected):
    labels = make_pipeline().labels(condition, 2)
    assert (None if labels is None else labels.tolist()) == expected


@pytest.mark.parametrize("condition", ["birds", 3, -2, "12"])
def test_unknown_classes_are_refused_with_those_that_exist(condition):
    with pytest.raises(ValueError, match=r"unknown class.*cats, dogs, 7"):
        make_pipeline().labels(condition, 2)


def test_a_wrong_number_of_conditions_is_refused():
    with pytest.raises(ValueError, match="one for each of 3 images, got 2"):
        make_pipeline().generate(3, ["cats", "dogs"])


def test_a_condition_for_an_unconditional_prior_is_refused():
    with pytest.raises(ValueError, match="trained without classes"):
        make_pipeline(num_classes=0).generate(1, 0)


@pytest.mark.parametrize("arguments", [{"count": 0}, {"count": 1, "batch_size": 0}])
def test_impossible_counts_are_refused(arguments):
    with pytest.raises(ValueError, match="count and batch_size must be >= 1"):
        make_pipeline().generate(**arguments)


def test_parts_that_do_not_fit_are_refused():
    tokenizer, order = make_tokenizer(), order_policy("raster", height=4, width=6)
    with pytest.raises(ValueError, match="16 codes and the prior models 8"):
        Pipeline(tokenizer, Prior(8, 4, 6, dim=16, depth=1, heads=2), order)
    with pytest.raises(ValueError, match="grid of 4 x 6, the prior models one of 6 x 4"):
        Pipeline(tokenizer, Prior(16, 6, 4, dim=16, depth=1, heads=2), order)
    with pytest.raises(ValueError, match="0 classes, got 1 class names"):
        Pipeline(tokenizer, Prior(16, 4, 6, dim=16, depth=1, heads=2), order, ["cats"])


def test_log_likelihood_agrees_with_a_hand_written_sum():
    pipeline = make_pipeline("column")
    images = torch.rand(2, 3, 8, 12) * 2 - 1
    result = pipeline.log_likelihood(images, [0, 2])
    order = pipeline.resolve_order(None)
    codes = pipeline.tokenizer.encode(images)
    sequence = order.scan(codes)
    log_probabilities = pipeline.prior(sequence, order.positions, torch.tensor([0, 2])).log_softmax(-1)
    for step in range(24):
        row, column = divmod(int(order.positions[step]), 6)
        expected = -log_probabilities[torch.arange(2), step, codes[:, row, column]]
        assert torch.allclose(result.nats[:, row, column].float(), expected, atol=1e-4)


def test_log_likelihood_of_several_orders_is_of_each_and_of_their_mixture():
    pipeline = make_pipeline("random-per-sample")
    images = torch.rand(2, 3, 8, 12) * 2 - 1
    found = pipeline.log_likelihood(images, "dogs", order=["raster", scan_order("column", height=4, width=6)])
    assert found.orders == ("raster", "column")
    alone = pipeline.log_likelihood(images, "dogs", order="column")
    assert torch.equal(found.members[1].nats, alone.nats)
    assert found.nats_per_code < sum(member.nats_per_code for member in found.members) / 2


def test_log_likelihood_of_a_number_draws_as_many_orders():
    found = make_pipeline("random-per-sample").log_likelihood(torch.zeros(1, 3, 8, 12), order=3)
    assert found.orders == ("random",) * 3
    assert len({member.nats_per_code for member in found.members}) == 3


def test_log_likelihood_under_an_order_not_trained_in_is_refused():
    with pytest.raises(ValueError, match="trained in the order 'hilbert' and knows no other, got 'raster'"):
        make_pipeline().log_likelihood(torch.zeros(1, 3, 8, 12), order=("hilbert", "raster"))


def test_reconstruct_is_encode_then_decode():
    pipeline = make_pipeline()
    images = torch.rand(1, 3, 8, 12) * 2 - 1
    assert torch.equal(pipeline.reconstruct(images), pipeline.tokenizer.decode(pipeline.tokenizer.encode(images)))


def test_steps_as_many_as_cells_draw_what_no_steps_draw():
    pipeline = make_pipeline()
    assert torch.equal(pipeline.generate_codes(2, seed=1, steps=24), pipeline.generate_codes(2, seed=1))


@pytest.mark.parametrize(("steps", "passes"), [(5, 5), ((4, 20), 2), (1, 1), (24, 24)])
def test_an_any_order_prior_draws_in_so_many_steps(steps, passes):
    pipeline, seen = make_pipeline("random-per-sample"), []
    codes = pipeline.generate_codes(2, 1, steps=steps, seed=1, on_step=lambda step, so_far: seen.append(step))
    assert codes.shape == (2, 4, 6)
    assert len(seen) == passes
    assert seen[-1] == 23


def test_several_cells_a_step_are_those_of_group_decoding_in_the_order_asked_for():
    pipeline, order = make_pipeline("random-per-sample"), scan_order("checkerboard", height=4, width=6)
    codes = pipeline.generate_codes(2, 1, "checkerboard", steps=4, schedule="linear", seed=1, top_k=5, batch_size=1)
    sequence = sample_groups(
        pipeline.prior, order.positions, torch.tensor([1, 1]), groups=(6, 6, 6, 6), seed=1, top_k=5
    )
    assert torch.equal(order.scan(codes), sequence)


def test_several_cells_a_step_lie_far_apart_unless_an_order_is_named():
    pipeline = make_pipeline("random-per-sample")
    assert torch.equal(pipeline.generate_codes(2, steps=4), pipeline.generate_codes(2, order="halton", steps=4))
    assert not torch.equal(pipeline.generate_codes(2, steps=4), pipeline.generate_codes(2, order="raster", steps=4))


def test_a_prefix_is_kept_when_the_rest_is_drawn_in_groups():
    pipeline, order = make_pipeline("random-per-sample"), scan_order("snake", height=4, width=6)
    prefix = order.scan(pipeline.generate_codes(2, seed=1))[:, :9]
    completed = pipeline.generate_codes(2, order=order, steps=3, seed=2, prefix=prefix)
    assert torch.equal(order.scan(completed)[:, :9], prefix)


@pytest.mark.parametrize("order", ["most-certain", "most-informative"])
def test_an_order_can_be_found_on_the_way(order):
    pipeline = make_pipeline("random-per-sample")
    codes = pipeline.generate_codes(3, 1, order, steps=6, seed=1, batch_size=2)
    drawn = sample_by_confidence(
        pipeline.prior, torch.tensor([1, 1, 1]), order=order, groups=group_sizes(24, 6), seed=1
    )
    assert torch.equal(codes, drawn.codes(height=4, width=6))
    with pytest.raises(ValueError, match=f"a prefix is the beginning of an order, got one with order='{order}'"):
        pipeline.generate_codes(1, order=order, prefix=torch.zeros(1, 3).long())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 23}, "trained in the order 'hilbert' and knows no other next cell, got 23 steps for 24 cells"),
        ({"order": "most-certain"}, "'hilbert' and knows no other next cell, got order='most-certain'; leave it out"),
        ({"steps": 25}, "steps must be from 1 to the number of cells to draw, 24, got 25"),
        ({"steps": 0}, "steps must be from 1 to the number of cells to draw, 24, got 0"),
    ],
)
def test_steps_that_a_prior_of_one_order_cannot_take_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_pipeline().generate(1, **arguments)


def test_group_sizes_that_do_not_fill_the_grid_are_refused():
    with pytest.raises(ValueError, match="sum to the 24 steps to draw, got 2 groups of 9 in all"):
        make_pipeline("random-per-sample").generate(1, steps=(4, 5))

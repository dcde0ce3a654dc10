"""Several draws for each image, of which the best is kept."""

import pytest
import torch
from tiny_pipeline import make_tiny_pipeline
from torch import Tensor

from vqgen import Pipeline, Prior
from vqgen.conditioning import TextEncoder, TextStream, train_vocabulary
from vqgen.metrics import information, log_likelihoods
from vqgen.orders import order_policy

VOCABULARY = train_vocabulary(["red apple", "green apple"] * 2, size=270)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return make_tiny_pipeline("random-per-sample")


def told_captions(way: str) -> Pipeline:
    body, conditioners = make_tiny_pipeline(), {"encoder": TextEncoder, "stream": TextStream}
    torch.manual_seed(0)
    conditioner = conditioners[way](VOCABULARY, 16, length=6)
    prior = Prior(128, height=8, width=8, dim=16, depth=1, heads=2, conditioner=conditioner)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Pipeline(body.tokenizer, prior, order_policy("raster", height=8, width=8))


@pytest.mark.parametrize("scorer", ["information", "likelihood"])
def test_the_draw_that_scores_best_is_kept(pipeline: Pipeline, scorer: str) -> None:
    settings = {"seed": 4, "top_k": 20, "guidance": 2.0}
    codes = pipeline.generate_codes(6, [0, 0, 0, 1, 1, 1], **settings)
    labels, positions = torch.tensor([0, 0, 0, 1, 1, 1]), pipeline.resolve_order(None).positions
    judge = information if scorer == "information" else log_likelihoods
    scores = judge(pipeline.prior, codes, labels, positions=positions).view(2, 3)
    best = codes.view(2, 3, 8, 8)[torch.arange(2), scores.argmax(dim=1)]
    images = pipeline.generate(2, [0, 1], best_of=3, scorer=scorer, **settings)
    torch.testing.assert_close(images, pipeline.decode(best))
    assert torch.equal(pipeline.generate(2, [0, 1], best_of=3, scorer=scorer, batch_size=2, **settings), images)


def test_information_is_the_default_with_a_condition_and_likelihood_without(pipeline: Pipeline) -> None:
    codes = pipeline.generate_codes(3, 2, seed=1)
    assert torch.equal(pipeline.score(codes, 2), pipeline.score(codes, 2, "information"))
    assert torch.equal(pipeline.score(codes), pipeline.score(codes, None, "likelihood"))
    assert not torch.equal(pipeline.score(codes, 2), pipeline.score(codes, 2, "likelihood"))


def test_a_scorer_of_ones_own_sees_images_and_what_was_asked_for(pipeline: Pipeline) -> None:
    seen: list[object] = []

    def darkest(images: Tensor, asked: object) -> Tensor:
        seen.append(asked)
        return -images.mean(dim=(1, 2, 3))

    every = pipeline.generate(6, ["animals-nature"] * 6, seed=1)
    dark = pipeline.generate(2, "animals-nature", seed=1, best_of=3, scorer=darkest, batch_size=4)
    expected = every.reshape(2, 3, *every.shape[1:])[torch.arange(2), every.reshape(2, 3, -1).mean(dim=2).argmin(dim=1)]
    torch.testing.assert_close(dark, expected)
    assert seen == [["animals-nature"] * 4, ["animals-nature"] * 2]


def test_best_of_says_what_is_wrong(pipeline: Pipeline) -> None:
    with pytest.raises(ValueError, match="count and best_of must be >= 1, got count=2 and best_of=0"):
        pipeline.generate(2, best_of=0)
    with pytest.raises(ValueError, match="information needs a condition; got 'information' and condition=None"):
        pipeline.generate(2, best_of=2, scorer="information")
    with pytest.raises(ValueError, match="scorer must be information or likelihood, or a function"):
        pipeline.generate(2, best_of=2, scorer="beauty")
    with pytest.raises(ValueError, match="one number for each of 4 images, got shape"):
        pipeline.generate(2, best_of=2, scorer=lambda images, asked: images)


@pytest.mark.parametrize("way", ["encoder", "stream"])
def test_prompts_are_drawn_and_judged_by_a_saved_pipeline(way: str, tmp_path) -> None:
    pipeline = told_captions(way)
    found = Pipeline.from_pretrained(pipeline.save_pretrained(tmp_path / "model"))
    settings = {"seed": 2, "guidance": 2.0, "top_k": 30}
    images = found.generate(2, "Red apple", **settings)
    assert torch.equal(images, pipeline.generate(2, ["red apple"] * 2, **settings))
    assert not torch.equal(images, found.generate(2, "green apple", **settings))
    assert found.generate(1, "red apple", best_of=2, **settings).shape == (1, 3, 64, 64)
    nats = found.log_likelihood(images, ["red apple", ""]).nats
    assert not torch.equal(nats[0], found.log_likelihood(images).nats[0])
    torch.testing.assert_close(nats[1], found.log_likelihood(images).nats[1])

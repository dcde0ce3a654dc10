"""Evaluating a tokenizer: figures as computed by hand, and a reference that is found again and recognised."""

import json

import pytest
import torch
from torch import nn

from vqgen.data import SyntheticImages, to_bytes, to_unit_range
from vqgen.evaluation import Reference, evaluate_tokenizer
from vqgen.evaluation.reference import chosen
from vqgen.losses import ImageLoss
from vqgen.metrics import set_distance

SOURCE = SyntheticImages(80, 16)  # 20 for validation


class Corners(nn.Module):
    """The four quarters' mean colours, and how often it was asked."""

    num_features = 12

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.looks = 0

    def forward(self, images):
        self.looks += len(images)
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1) * self.weight


class RedShift(ImageLoss):
    def forward(self, reconstructions, images):
        return (reconstructions - images)[:, 0].abs().mean()


class Greys:
    """A tokenizer of 4 x 4 cells: the grey of their upper left pixel in 8 levels."""

    codebook_size = 8
    downsampling = 4

    def encode(self, images):
        return ((images[:, :, ::4, ::4].mean(1) + 1) * 4).long().clamp(0, 7)

    def decode(self, codes):
        greys = (codes + 0.5) / 4 - 1
        return greys[:, None].repeat_interleave(4, 2).repeat_interleave(4, 3).expand(-1, 3, -1, -1)

    def fingerprint(self):
        return "greys"


def evaluate(cache, extractor=None, **options):
    return evaluate_tokenizer(Greys(), SOURCE, extractor or Corners(), cache=cache, **options)


def test_figures_are_those_of_the_definitions(tmp_path):
    found = evaluate(tmp_path, perceptual=RedShift()).figures
    images = SOURCE.split("validation").batch(range(20)).images
    codes = Greys().encode(images)
    decoded = Greys().decode(codes)
    errors = (decoded - images).square().mean((1, 2, 3))
    assert found["psnr"] == pytest.approx((10 * (4 / errors).log10()).mean().item(), abs=1e-4)
    assert found["red_shift"] == pytest.approx((decoded - images)[:, 0].abs().mean().item(), abs=1e-6)
    distance = set_distance(Corners()(images).detach(), Corners()(to_unit_range(to_bytes(decoded))).detach())
    assert found["fid_corners"] == pytest.approx(distance.fid, abs=1e-6)
    assert found["kid_corners"] == pytest.approx(distance.kid, abs=1e-6)
    assert found["codebook_used"] == len(codes.unique()) / 8
    assert found["dead_codes"] == 8 - len(codes.unique())
    assert 0 < found["ssim"] < 1


def test_figures_do_not_depend_on_the_batch_size(tmp_path):
    first, second = (evaluate(tmp_path / str(size), perceptual=RedShift(), batch_size=size).figures for size in (20, 3))
    assert first == pytest.approx(second, rel=1e-4)


def test_the_conditions_tell_what_the_figures_refer_to(tmp_path):
    found = evaluate(tmp_path, count=7, seed=3).conditions
    assert (found["tokenizer"], found["count"], found["seed"], found["kid_subset_size"]) == ("greys", 7, 3, 7)
    reference = found["reference"]
    assert reference["source"] == "vqgen.SyntheticImages"
    assert reference["source_fingerprint"] == SOURCE.fingerprint
    assert reference["source_arguments"]["count"] == 80
    assert (reference["split"], reference["image_size"], reference["crop"]) == ("validation", [16, 16], "center")
    assert reference["extractor"] == "corners"
    path = evaluate(tmp_path, count=7, seed=3).save(tmp_path / "new" / "figures.json")
    assert json.loads(path.read_text())["conditions"] == found


def test_originals_are_looked_at_once(tmp_path):
    first, second = Corners(), Corners()
    one, two = evaluate(tmp_path, first), evaluate(tmp_path, second)
    assert (first.looks, second.looks) == (40, 20)
    assert one == two


def test_another_reference_has_another_key(tmp_path):
    changed = Corners()
    with torch.no_grad():
        changed.weight.fill_(2.0)

    def key(source=SOURCE, split="validation", indices=(0, 1), extractor=None):
        return Reference(source, split, indices, extractor or Corners(), tmp_path).key

    others = [key(SyntheticImages(80, 24)), key(split="train"), key(indices=(0, 2)), key(extractor=changed)]
    assert key() == key()
    assert len({key(), *others}) == 5


def test_a_reference_file_that_was_changed_is_made_anew(tmp_path):
    before = evaluate(tmp_path)
    (file,) = (tmp_path / "references").glob("*/features.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    extractor = Corners()
    assert evaluate(tmp_path, extractor) == before
    assert extractor.looks == 40
    file.write_bytes(b"half a file")
    assert evaluate(tmp_path) == before


def test_the_seed_chooses_images_without_repetition():
    drawn = [chosen(100, 30, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == sorted(set(drawn[0]))
    assert chosen(4, 4, seed=0) == chosen(4, None, seed=5) == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [0, 1, 21])
def test_an_impossible_count_is_refused(tmp_path, count):
    with pytest.raises(ValueError, match=rf"count must lie in \[2, 20\], the number of images.*got {count}"):
        evaluate(tmp_path, count=count)

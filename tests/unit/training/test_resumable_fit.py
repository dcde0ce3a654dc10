"""Training under a budget: its curve, a longer budget afterwards, a checkpoint that was cut short."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from vqgen.training import fit_resumably


class Line(pl.LightningModule):
    """Learns one number; logs what `fit_resumably` reads."""

    def __init__(self):
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_index):
        return (self.number - 1.0) ** 2

    def validation_step(self, batch, batch_index):
        self.log("validation/loss", (self.number - 1.0) ** 2, batch_size=len(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Numbers(pl.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(torch.zeros(8), batch_size=2)

    val_dataloader = train_dataloader


def fit(folder, **options):
    module = Line()
    arguments = {"steps": 7, "validate_every": 3, "checkpoint_every": 2, "gradient_clip": None, **options}
    return module, fit_resumably(module, Numbers(), folder=folder, **arguments)


def test_curve_has_a_point_at_each_validation_and_at_the_end(tmp_path):
    module, record = fit(tmp_path)
    assert [point.step for point in record.curve] == [3, 6, 7]
    # number_t = 1 - 0.8^t, so the loss before step t + 1 is 0.64^t
    assert record.curve[0].train == pytest.approx((1 + 0.64 + 0.64**2) / 3)
    assert [point.validation for point in record.curve] == pytest.approx([0.64**3, 0.64**6, 0.64**7])
    assert module.number.item() == pytest.approx(1 - 0.8**7)
    assert record.steps == 7
    assert record.steps_per_second > 0


def test_a_longer_budget_goes_on_from_a_shorter_one(tmp_path):
    fit(tmp_path, steps=5)
    module, record = fit(tmp_path)
    assert module.number.item() == pytest.approx(1 - 0.8**7)
    assert [point.step for point in record.curve] == [3, 5, 6, 7]


def test_a_checkpoint_that_was_cut_short_is_not_read(tmp_path):
    fit(tmp_path, steps=5)
    whole = (tmp_path / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(whole[: len(whole) // 2])
    module, record = fit(tmp_path)
    assert record.steps == 7
    assert module.number.item() == pytest.approx(1 - 0.8**7)


@pytest.mark.parametrize("budget", [{"steps": None}, {"steps": 3, "seconds": 1.0}, {"steps": 0}])
def test_a_budget_is_either_steps_or_seconds(tmp_path, budget):
    with pytest.raises(ValueError, match="either steps >= 1 or seconds > 0"):
        fit(tmp_path, **budget)

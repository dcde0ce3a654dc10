import pytest
import torch

from vqgen.conditioning import LabelConditioner


def test_label_conditioner_looks_labels_up() -> None:
    conditioner = LabelConditioner(4, dim=8).eval()
    labels = torch.tensor([3, 0, 3])
    assert torch.equal(conditioner(labels, batch_size=3).start, conditioner.embedding.weight[labels])


def test_no_label_no_condition_and_hidden_label_are_the_same_vector() -> None:
    conditioner = LabelConditioner(4, dim=8, label_dropout=1.0)
    null = conditioner.embedding.weight[4]
    assert torch.equal(conditioner(torch.tensor([1]), batch_size=1).start[0], null)
    conditioner.eval()
    assert torch.equal(conditioner(torch.tensor([-1]), batch_size=1).start[0], null)
    assert torch.equal(conditioner(None, batch_size=3).start, null.expand(3, 8))


def test_label_dropout_hides_the_given_share_in_training_and_none_in_evaluation() -> None:
    conditioner, labels = LabelConditioner(2, dim=4, label_dropout=0.25), torch.zeros(4000, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    told = conditioner.embedding.weight[0]
    kept = (conditioner(labels, 4000, generator).start == told).all(dim=1).float().mean()
    assert 0.72 < kept < 0.78
    assert (conditioner.eval()(labels, 4000, generator).start == told).all()


def test_label_dropout_repeats_itself_with_the_same_generator() -> None:
    conditioner, labels = LabelConditioner(2, dim=4, label_dropout=0.5), torch.zeros(64, dtype=torch.int64)
    draws = [conditioner(labels, 64, torch.Generator().manual_seed(seed)).start for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("label", [-2, 4])
def test_label_conditioner_refuses_labels_out_of_range(label: int) -> None:
    with pytest.raises(ValueError, match=f"from -1 \\(no label\\) to 3, got {label} to {label}"):
        LabelConditioner(4, dim=8)(torch.tensor([label]), batch_size=1)


def test_label_conditioner_refuses_a_wrong_number_of_labels() -> None:
    with pytest.raises(ValueError, match="one label per image, got 2 labels for 3 images"):
        LabelConditioner(4, dim=8)(torch.tensor([0, 1]), batch_size=3)


def test_label_conditioner_refuses_no_classes_and_impossible_dropout() -> None:
    with pytest.raises(ValueError, match="num_classes must be >= 1, got 0; use Unconditional"):
        LabelConditioner(0, dim=8)
    with pytest.raises(ValueError, match=r"label_dropout must be a probability in \[0, 1\], got 1.5"):
        LabelConditioner(4, dim=8, label_dropout=1.5)

import pytest
import torch

from vqgen.sampling import GUIDANCE_RAMPS, guidance_ramp, guide


def test_guide_moves_from_unconditional_through_conditional_and_beyond() -> None:
    conditional, unconditional = torch.randn(2, 5), torch.randn(2, 5)
    torch.testing.assert_close(guide(conditional, unconditional, 0.0), unconditional)
    torch.testing.assert_close(guide(conditional, unconditional, 1.0), conditional)
    torch.testing.assert_close(guide(conditional, unconditional, 3.0), conditional + 2 * (conditional - unconditional))


@pytest.mark.parametrize("name", sorted(set(GUIDANCE_RAMPS) - {"constant"}))
def test_ramps_rise_from_one_to_the_scale(name: str) -> None:
    ramp = guidance_ramp(name, 5.0)
    values = [ramp(step / 20) for step in range(21)]
    assert values[0] == 1.0
    assert values[-1] == pytest.approx(5.0)
    assert values == sorted(values)


def test_ramps_have_their_shapes() -> None:
    middle = {name: guidance_ramp(name, 5.0, power=2.0)(0.25) for name in GUIDANCE_RAMPS}
    assert middle["constant"] == 5.0
    assert middle["linear"] == 2.0
    assert middle["cosine"] == pytest.approx(1.0 + 4.0 * 0.1464466)
    assert middle["power"] == pytest.approx(1.0 + 4.0 * 0.0096073)


def test_guidance_ramp_refuses_unknown_names_and_powers() -> None:
    with pytest.raises(ValueError, match="one of constant, linear, cosine, power, got 'sine'"):
        guidance_ramp("sine", 2.0)
    with pytest.raises(ValueError, match="power must be > 0, got 0"):
        guidance_ramp("power", 2.0, power=0.0)

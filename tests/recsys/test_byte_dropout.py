import pytest
import torch

from recsys.byte_dropout import ByteDropout


def test_a_share_is_zeroed_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    made = ByteDropout(0.2)(torch.ones(500, 1001))
    zeroed = 51 / 256
    assert abs((made == 0).float().mean().item() - zeroed) < 0.002
    assert abs(made.mean().item() - 1) < 0.003
    assert made.unique().tolist() == pytest.approx([0, 256 / 205])
    # Neither neighbours nor rows know of each other.
    kept = (made > 0).float()
    both = (kept[:, 1:] * kept[:, :-1]).mean().item()
    assert both == pytest.approx((1 - zeroed) ** 2, abs=0.003)
    assert kept.mean(0).std().item() == pytest.approx((zeroed * (1 - zeroed) / 500) ** 0.5, rel=0.1)


def test_gradients_pass_where_numbers_passed() -> None:
    inputs = torch.ones(40, 50, requires_grad=True)
    made = ByteDropout(0.5)(inputs)
    made.sum().backward()
    torch.testing.assert_close(inputs.grad, made.detach())


def test_the_mask_is_that_of_the_seed() -> None:
    drop, ones = ByteDropout(0.3), torch.ones(9, 7)
    torch.manual_seed(3)
    first, second = drop(ones), drop(ones)
    torch.manual_seed(3)
    torch.testing.assert_close(drop(ones), first)
    assert not torch.equal(first, second)


def test_reading_and_no_chance_change_nothing() -> None:
    ones = torch.ones(3, 5)
    assert ByteDropout(0.9).eval()(ones) is ones
    assert ByteDropout(0.0)(ones) is ones
    assert ByteDropout(0.2)(torch.ones(0, 5)).shape == (0, 5)


@pytest.mark.parametrize("chance", [-0.1, 1.0, float("nan")])
def test_a_wrong_chance_is_an_error(chance: float) -> None:
    with pytest.raises(ValueError, match="chance must be"):
        ByteDropout(chance)

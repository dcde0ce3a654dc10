"""What the tokenizer's training passes on to its loss."""

from unittest.mock import MagicMock

import torch

from vqgen.losses import LogitLaplaceLoss
from vqgen.quantizers import EMAVectorQuantizer
from vqgen.tokenizer import DVAEDecoder, DVAEEncoder, Tokenizer
from vqgen.training import TokenizerModule


def test_a_likelihood_is_told_the_decoder_s_certainty_of_each_pixel():
    torch.manual_seed(0)
    body = {"channels": 8, "levels": 2, "blocks": 1}
    tokenizer = Tokenizer(DVAEEncoder(**body), DVAEDecoder(**body, latent_channels=8), EMAVectorQuantizer(8, 4))
    module = TokenizerModule(tokenizer, loss=LogitLaplaceLoss())
    module.trainer = MagicMock(global_step=1, log_every_n_steps=10, max_steps=10, max_epochs=-1, callbacks=[])
    module.log = MagicMock()
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    result = tokenizer(images)
    assert result.log_scale is not None
    loss = module.compare(result.images, images, "train", result.log_scale)
    torch.testing.assert_close(loss, LogitLaplaceLoss()(result.images, images, result.log_scale))
    gradients = torch.autograd.grad(loss, result.log_scale)
    assert gradients[0].abs().sum() > 0

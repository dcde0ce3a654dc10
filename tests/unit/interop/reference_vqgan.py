"""A plain VQGAN in two projects' names, written from what their state dicts say: the reference of the maps."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """Residual block; `on_result` is MaskGIT's, whose shortcut reads the block's own result and nothing has a bias."""

    def __init__(self, width: int, out: int, *, on_result: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(32, width, eps=1e-6)
        self.conv1 = nn.Conv2d(width, out, 3, padding=1, bias=not on_result)
        self.norm2 = nn.GroupNorm(32, out, eps=1e-6)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=not on_result)
        if width != out:
            self.nin_shortcut = nn.Conv2d(out if on_result else width, out, 1, bias=not on_result)
        self.on_result = on_result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        if not hasattr(self, "nin_shortcut"):
            return x + h
        return h + self.nin_shortcut(h if self.on_result else x)


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, width, eps=1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(x)
        query, key, value = (layer(normed).flatten(2) for layer in (self.q, self.k, self.v))  # (b, c, n)
        weights = (query.transpose(1, 2) @ key / x.shape[1] ** 0.5).softmax(dim=2)
        return x + self.proj_out((value @ weights.transpose(1, 2)).view_as(x))


class Convolution(nn.Module):
    """A convolution one level down in the names, as both projects have it in their resizing layers."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=stride, padding=0 if stride == 2 else 1)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride == 2:
            return self.conv(F.pad(x, (0, 1, 0, 1)))
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class LlamaGenHalf(nn.Module):
    """LlamaGen's encoder or decoder: attention at the lowest resolution, levels named in the order they run."""

    def __init__(self, first: int, last: int, widths: list[int], blocks: int, *, decodes: bool) -> None:
        super().__init__()
        order = widths[::-1] if decodes else widths
        width = order[0] if decodes else widths[0]
        self.conv_in = nn.Conv2d(first, width, 3, padding=1)
        self.decodes = decodes
        self.conv_blocks = nn.ModuleList()
        for step, out in enumerate(order):
            level = nn.Module()
            lowest = step == (0 if decodes else len(order) - 1)
            level.res = nn.ModuleList([Block(width if i == 0 else out, out) for i in range(blocks)])
            level.attn = nn.ModuleList([Attention(out) for _ in range(blocks)] if lowest else [])
            if step < len(order) - 1:
                setattr(level, "upsample" if decodes else "downsample", Convolution(out, 1 if decodes else 2))
            self.conv_blocks.append(level)
            width = out
        low = widths[-1]
        self.mid = nn.ModuleList([Block(low, low), Attention(low), Block(low, low)])
        self.norm_out = nn.GroupNorm(32, width, eps=1e-6)
        self.conv_out = nn.Conv2d(width, last, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        for layer in self.mid if self.decodes else ():
            x = layer(x)
        for level in self.conv_blocks:
            for index, block in enumerate(level.res):
                x = block(x)
                if len(level.attn):
                    x = level.attn[index](x)
            resize = getattr(level, "upsample" if self.decodes else "downsample", None)
            x = x if resize is None else resize(x)
        for layer in () if self.decodes else self.mid:
            x = layer(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class LlamaGen(nn.Module):
    def __init__(self, widths: list[int], k: int = 64, dim: int = 8, latent: int = 16) -> None:
        super().__init__()
        self.encoder = LlamaGenHalf(3, latent, widths, 2, decodes=False)
        self.decoder = LlamaGenHalf(latent, 3, widths, 3, decodes=True)
        self.quantize = nn.Module()
        self.quantize.embedding = nn.Embedding(k, dim)
        self.quantize.register_buffer("codebook_used", torch.zeros(65536))
        self.quant_conv = nn.Conv2d(latent, dim, 1)
        self.post_quant_conv = nn.Conv2d(dim, latent, 1)

    def latents(self, images: torch.Tensor) -> torch.Tensor:
        return self.quant_conv(self.encoder(images))

    def codes(self, images: torch.Tensor) -> torch.Tensor:
        rows = F.normalize(self.latents(images), dim=1).movedim(1, -1)
        return (rows @ F.normalize(self.quantize.embedding.weight, dim=1).T).argmax(-1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        latents = F.normalize(self.quantize.embedding.weight, dim=1)[codes].movedim(-1, 1)
        return self.decoder(self.post_quant_conv(latents))


class MaskGITHalf(nn.Module):
    """MaskGIT's encoder or decoder: no attention, average pooling, levels named from the highest resolution."""

    def __init__(self, first: int, last: int, widths: list[int], *, decodes: bool) -> None:
        super().__init__()
        low, levels = widths[-1], len(widths)
        self.decodes = decodes
        self.conv_in = nn.Conv2d(first, low if decodes else widths[0], 3, padding=1, bias=decodes)
        parts = []
        for level, out in enumerate(widths):
            below = widths[min(level + 1, levels - 1)] if decodes else widths[max(level - 1, 0)]
            part = nn.Module()
            part.block = nn.ModuleList([Block(below, out, on_result=True), Block(out, out, on_result=True)])
            if decodes and level:
                part.upsample_conv = nn.Conv2d(out, out, 3, padding=1)
            parts.append(part)
        setattr(self, "up" if decodes else "down", nn.ModuleList(parts))
        self.mid = nn.ModuleList([Block(low, low, on_result=True) for _ in range(2)])
        end = widths[0] if decodes else low
        self.norm_out = nn.GroupNorm(32, end, eps=1e-6)
        self.conv_out = nn.Conv2d(end, last, 3, padding=1) if decodes else nn.Conv2d(end, last, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        if self.decodes:
            for block in self.mid:
                x = block(x)
            for part in reversed(self.up):
                for block in part.block:
                    x = block(x)
                if hasattr(part, "upsample_conv"):
                    x = part.upsample_conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        else:
            for level, part in enumerate(self.down):
                for block in part.block:
                    x = block(x)
                x = F.avg_pool2d(x, 2) if level < len(self.down) - 1 else x
            for block in self.mid:
                x = block(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class MaskGIT(nn.Module):
    """Takes and gives pixels in [0, 1]."""

    def __init__(self, widths: list[int], k: int = 64, dim: int = 16) -> None:
        super().__init__()
        self.encoder = MaskGITHalf(3, dim, widths, decodes=False)
        self.decoder = MaskGITHalf(dim, 3, widths, decodes=True)
        self.quantize = nn.Module()
        self.quantize.embedding = nn.Embedding(k, dim)

    def codes(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cdist(self.encoder(images).movedim(1, -1), self.quantize.embedding.weight[None]).argmin(-1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.quantize.embedding(codes).movedim(-1, 1))

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqgen.data.decode import decode_file, decode_image


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tiff", "gif", "ppm"])
def test_decode_file_reads_common_formats(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2, :, 0] = 255
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert torch.equal(decode_file(path), torch.from_numpy(pixels).permute(2, 0, 1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparent_parts_become_white(mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (200, 200, 200, 255))
    if mode == "P":
        image = image.quantize(4)
        assert image.has_transparency_data
    else:
        image = image.convert(mode)
    assert decode_image(image)[:, 0].tolist() == [[255, 200]] * 3


def test_half_transparent_black_is_grey() -> None:
    assert 126 <= decode_image(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))[0, 0, 0] <= 128


def test_the_camera_orientation_is_followed(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2), "red")
    image.getexif()[0x0112] = 6  # the camera was turned by a quarter
    path = tmp_path / "turned.jpg"
    image.save(path, exif=image.getexif())
    assert decode_file(path).shape == (3, 4, 2)


@pytest.mark.parametrize("mode", ["L", "1", "I;16", "I", "CMYK", "YCbCr", "P"])
def test_every_mode_becomes_bytes_of_the_asked_channels(mode: str) -> None:
    image = Image.new("RGB", (3, 2), (255, 255, 255)).convert("L" if mode.startswith("I") else mode)
    if mode.startswith("I"):
        image = Image.fromarray(np.full((2, 3), 65535, np.uint16 if mode == "I;16" else np.int32))
        assert image.mode == mode
    assert (decode_image(image, 3) == 255).all()
    assert decode_image(image, 1).shape == (1, 2, 3)


def test_grey_levels_of_sixteen_bits_keep_their_order() -> None:
    image = Image.fromarray(np.array([[0, 257, 40_000, 65_535]], np.uint16))
    assert decode_image(image, 1).flatten().tolist() == [0, 1, 155, 255]


def test_a_large_jpeg_is_decoded_smaller_but_large_enough(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("RGB", (800, 640), (10, 200, 30)).save(path)
    small = decode_file(path, enough=(64, 64))
    assert small.shape == (3, 160, 200)
    torch.testing.assert_close(small, decode_file(path)[:, :160, :200], atol=2, rtol=0)


@pytest.mark.parametrize("damage", ["truncated", "noise", "empty"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_broken_file_is_named(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"broken.{suffix}"
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "noise": b"no image", "empty": b""}[damage])
    with pytest.raises(ValueError, match=rf"cannot read the image .*broken\.{suffix}: \w+Error: "):
        decode_file(path)

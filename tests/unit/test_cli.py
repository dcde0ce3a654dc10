"""The `vqgen` program: what each command prints and writes, and how it refuses."""

import importlib.metadata
import shutil

import pytest
import torch
from PIL import Image
from tiny_pipeline import GROUPS, make_tiny_pipeline

import vqgen
from vqgen import Prior
from vqgen.cli import main, make_parser
from vqgen.conditioning import TextEncoder, train_vocabulary
from vqgen.orders import ORDERS, scan_order
from vqgen.pictures import GAP
from vqgen.pipeline import Pipeline
from vqgen.sampling import GUIDANCE_RAMPS, guidance_ramp


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_pipeline("hilbert").save_pretrained(tmp_path_factory.mktemp("runs") / "tiny")


def refused(capsys, *arguments):
    """The message of a command that ends with status 2."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


def pixels(path):
    with Image.open(path) as picture:
        return picture.size, picture.convert("RGB").tobytes()


def test_version_is_the_package_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"vqgen {vqgen.__version__}"
    assert importlib.metadata.version("vqgen") == vqgen.__version__


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(command in text for command in ("quickstart", "sample", "orders", "tokenize", "fit, validate, test"))


def test_no_command_and_an_unknown_one_are_refused(capsys):
    assert "COMMAND" in refused(capsys)
    assert "invalid choice: 'smaple'" in refused(capsys, "smaple")


def test_orders_list_has_a_line_with_a_definition_for_each(capsys):
    main(["orders", "list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ORDERS)
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)


def test_orders_show_prints_the_step_of_each_cell(capsys):
    main(["orders", "show", "spiral-in", "--height", "3", "--width", "4"])
    rows = capsys.readouterr().out.splitlines()[:3]
    steps = [int(step) for row in rows for step in row.split()]
    assert steps == scan_order("spiral-in", height=3, width=4).steps.tolist()
    assert len({len(row) for row in rows}) == 1


def test_orders_show_takes_the_seed(capsys):
    texts = []
    for seed in ("1", "1", "2"):
        main(["orders", "show", "random", "--height", "4", "--width", "4", "--seed", seed])
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_orders_show_draws_a_picture(tmp_path, capsys):
    path = tmp_path / "hilbert.png"
    main(["orders", "show", "hilbert", "--height", "8", "--width", "8", "--out", str(path)])
    assert f"wrote {path}" in capsys.readouterr().out
    (width, height), data = pixels(path)
    assert min(width, height) > 100
    assert len(set(data)) > 10


def test_orders_show_refuses_a_name_it_does_not_know(capsys):
    message = refused(capsys, "orders", "show", "hilbret")
    assert message.startswith("vqgen: error: ")
    assert "hilbret" in message
    assert "hilbert" in message


def test_orders_show_refuses_an_empty_grid(capsys):
    assert "height=0" in refused(capsys, "orders", "show", "raster", "--height", "0")


def test_sample_writes_a_grid_of_the_images_that_generate_gives(folder, tmp_path, capsys):
    out = tmp_path / "new" / "samples.png"
    options = [
        "--n",
        "3",
        "--columns",
        "2",
        "--condition",
        GROUPS[1],
        "--seed",
        "5",
        "--top-k",
        "10",
        "--out",
        str(out),
    ]
    main(["sample", str(folder), *options])
    assert f"wrote {out}" in capsys.readouterr().out
    images = vqgen.Pipeline.from_pretrained(folder).generate(3, GROUPS[1], top_k=10, seed=5)
    expected = vqgen.pictures.picture_grid(images, columns=2)
    assert pixels(out) == (expected.size, expected.tobytes())
    assert expected.size == (2 * (64 + GAP) + GAP, 2 * (64 + GAP) + GAP)


def test_sample_draws_prompts_in_turn_with_a_prior_that_is_told_captions(tmp_path):
    pipeline = make_tiny_pipeline()
    words = TextEncoder(train_vocabulary(["red apple", "green apple"] * 2, size=270), 16, length=6, depth=1)
    prior = Prior(128, height=8, width=8, dim=16, depth=1, heads=2, conditioner=words)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    vqgen.Pipeline(pipeline.tokenizer, prior, pipeline.order).save_pretrained(tmp_path / "model")
    out, sampling = tmp_path / "apple.png", ["--device", "cpu", "--seed", "3", "--guidance", "2", "--best-of", "2"]
    main(
        [
            "sample",
            str(tmp_path / "model"),
            "--prompt",
            "red apple",
            "green apple",
            "--n",
            "3",
            "--out",
            str(out),
            *sampling,
        ]
    )
    images = vqgen.Pipeline.from_pretrained(tmp_path / "model").generate(
        3, ["red apple", "green apple", "red apple"], seed=3, guidance=2.0, best_of=2
    )
    expected = vqgen.pictures.picture_grid(images, columns=3)
    assert pixels(out) == (expected.size, expected.tobytes())


def test_sample_refuses_a_prompt_where_it_means_nothing(folder, tmp_path, capsys):
    out = ("--n", "1", "--out", tmp_path / "x.png")
    message = refused(capsys, "sample", folder, "--prompt", "red apple", *out)
    assert "is told no captions; name a class with --condition" in message
    message = refused(capsys, "sample", folder, "--prompt", "red apple", "--condition", "1", *out)
    assert "--condition names a class and --prompt a caption" in message


def test_sample_options_reach_the_sampler(folder, tmp_path):
    seen = {}
    for name, options in {
        "plain": [],
        "again": [],
        "in small batches": ["--batch-size", "1"],
        "seed": ["--seed", "1"],
        "temperature": ["--temperature", "0"],
        "top-p": ["--top-p", "0.5"],
        "class by name": ["--condition", GROUPS[0]],
        "class by number": ["--condition", "0"],
        "guidance": ["--condition", GROUPS[0], "--guidance", "30"],
        "two classes in turn": ["--condition", GROUPS[0], GROUPS[3]],
        "its own order by name": ["--order", "hilbert"],
    }.items():
        main(["sample", str(folder), "--n", "2", "--device", "cpu", "--out", str(tmp_path / "x.png"), *options])
        seen[name] = pixels(tmp_path / "x.png")
    assert seen["plain"] == seen["again"] == seen["its own order by name"] == seen["in small batches"]
    assert seen["class by name"] == seen["class by number"]
    different = ["plain", "seed", "temperature", "top-p", "class by name", "guidance", "two classes in turn"]
    assert len({seen[name] for name in different}) == len(different)


def test_sample_draws_in_steps_or_by_confidence_with_a_prior_of_any_order(tmp_path, capsys):
    pipeline = make_tiny_pipeline("random-per-sample")
    pipeline.save_pretrained(tmp_path / "model")
    for options, arguments in [
        (["--steps", "6"], {"steps": 6}),
        (
            ["--steps", "6", "--schedule", "linear", "--order", "spiral-out"],
            {"steps": 6, "schedule": "linear", "order": "spiral-out"},
        ),
        (["--steps", "8", "--order", "most-certain"], {"steps": 8, "order": "most-certain"}),
    ]:
        out = ["--device", "cpu", "--out", str(tmp_path / "x.png")]
        main(["sample", str(tmp_path / "model"), "--n", "2", *options, *out])
        images = pipeline.generate(2, **arguments)
        expected = vqgen.pictures.picture_grid(images, columns=2)
        assert pixels(tmp_path / "x.png") == (expected.size, expected.tobytes())
    options = ["--order", "most-certain", "--gif", tmp_path / "x.gif"]
    assert "--gif shows one order, and with --order most-certain" in refused(
        capsys, "sample", tmp_path / "model", *options
    )


def test_sample_in_steps_of_a_prior_of_one_order_is_refused(folder, tmp_path, capsys):
    message = refused(capsys, "sample", folder, "--n", "1", "--steps", "9", "--out", tmp_path / "x.png")
    assert "trained in the order 'hilbert' and knows no other next cell, got 9 steps for 64 cells" in message


def test_sample_animates_how_the_cells_fill_in(folder, tmp_path):
    main(["sample", str(folder), "--n", "2", "--out", str(tmp_path / "x.png"), "--gif", str(tmp_path / "x.gif")])
    with Image.open(tmp_path / "x.gif") as animation:
        assert 2 < animation.n_frames <= 8 * 8 + 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--condition", "unicorns"], "unknown class 'unicorns'"),
        (["--condition", "99"], "unknown class"),
        (["--order", "raster"], "trained in the order 'hilbert' and knows no other, got 'raster'"),
        (["--order", "zigzag"], "zigzag"),
        (["--n", "0"], "count"),
        (["--temperature", "-1"], "temperature"),
        (["--top-k", "0"], "top_k"),
        (["--top-p", "2"], "top_p"),
        (["--out", "samples.docx"], "ending of a picture format"),
        (["--n", "many"], "invalid int value"),
    ],
)
def test_sample_says_what_is_wrong(folder, tmp_path, monkeypatch, capsys, options, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in refused(capsys, "sample", folder, *options)
    assert list(tmp_path.iterdir()) == []


def test_sample_of_a_folder_that_is_not_there_says_what_writes_one(tmp_path, capsys):
    message = refused(capsys, "sample", tmp_path / "nothing")
    assert "nothing" in message
    assert "vqgen fit" in message


def test_sample_refuses_a_tokenizer_the_prior_was_not_trained_on(folder, tmp_path, capsys):
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    other = make_tiny_pipeline().tokenizer
    with torch.no_grad():
        other.quantizer.codebook.add_(1.0)
    other.save_pretrained(mixed / "tokenizer")
    message = refused(capsys, "sample", mixed)
    assert other.fingerprint() in message
    assert make_tiny_pipeline().tokenizer.fingerprint() in message


def test_quickstart_defaults_are_those_that_the_readme_names():
    options = make_parser().parse_args(["quickstart"])
    assert (str(options.out), options.order, options.overwrite) == ("runs/quickstart", "bit-reversal", False)
    assert options.minutes < 8


def test_quickstart_refuses_too_little_time_and_a_folder_in_use(tmp_path, capsys):
    assert "minutes" in refused(capsys, "quickstart", "--minutes", "0.1", "--out", tmp_path / "new")
    (tmp_path / "metrics.json").write_text("{}")
    message = refused(capsys, "quickstart", "--out", tmp_path)
    assert "--overwrite" in message
    assert (tmp_path / "metrics.json").read_text() == "{}"


@pytest.mark.parametrize("ramp", GUIDANCE_RAMPS)
def test_sample_raises_guidance_along_the_named_ramp(folder, tmp_path, monkeypatch, ramp):
    seen = {}

    def generate(self, count, *arguments, guidance, **options):
        seen["guidance"] = [guidance(progress) for progress in (0.0, 0.3, 1.0)]
        return torch.zeros(count, 3, 8, 8)

    monkeypatch.setattr(Pipeline, "generate", generate)
    main(
        [
            "sample",
            str(folder),
            "--n",
            "1",
            "--guidance",
            "5",
            "--guidance-ramp",
            ramp,
            "--out",
            str(tmp_path / "x.png"),
        ]
    )
    assert seen["guidance"] == [guidance_ramp(ramp, 5.0)(progress) for progress in (0.0, 0.3, 1.0)]


def test_sample_draws_in_the_precision_that_is_asked_for(folder, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Pipeline, "in_precision", lambda self, precision: asked.append(precision) or self)
    main(["sample", str(folder), "--n", "1", "--precision", "int8", "--out", str(tmp_path / "x.png")])
    assert asked == ["int8"]


def test_sample_compiles_when_asked_and_says_what_that_needs(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    message = refused(capsys, "sample", folder, "--n", "1", "--compile", "--device", "cpu", "--out", tmp_path / "x.png")
    assert "needs a C++ compiler" in message
    assert not (tmp_path / "x.png").exists()

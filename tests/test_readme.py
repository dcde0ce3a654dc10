"""The READMEs do what they say: Python runs, commands run or are checked, links lead somewhere."""

import importlib.metadata
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from PIL import Image
from tiny_pipeline import make_tiny_pipeline

from vqgen import Pipeline, Prior
from vqgen.cli import LIGHTNING_COMMANDS, main, make_parser
from vqgen.conditioning import AlignedGridConditioner, Conditioner, GridOfImages, TextEncoder, train_vocabulary
from vqgen.orders import definition_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "vqgen").rglob("README.md")),
]
# Commands that set up a shell or a machine and say nothing about the package.
NOT_RUN = ("git clone ", "cd ", "python3 -m venv .venv", "source .venv/bin/activate")
# Where the README has trained pipelines, the tests have tiny ones.
PIPELINES = {
    "runs/quickstart": "raster",
    "runs/folder": "raster",
    "runs/openmoji_any_order": "random-per-sample",
    "runs/orders/raster": "raster",
    "runs/orders/hilbert": "hilbert",
    "runs/orders/spiral-in": "spiral-in",
}


def blocks(text: str, language: str) -> list[tuple[int, str]]:
    """First line (from 1) and content of every fenced block of a language."""
    fences = [token for token in MarkdownIt().parse(text) if token.type == "fence" and token.info == language]
    return [(token.map[0] + 2, token.content) for token in fences if token.map]


def commands(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of every shell command; a `for` loop gives its commands once per value."""
    for start, content in blocks(text, "bash"):
        loop: tuple[str, list[str]] | None = None
        for line, command in enumerate(content.splitlines(), start):
            command = command.split(" # ")[0].strip()
            if opening := re.fullmatch(r"for (\w+) in (.+); do", command):
                loop = opening[1], opening[2].split()
            elif command == "done":
                loop = None
            elif command and not command.startswith("#"):
                name, values = loop or ("", [""])
                yield from ((line, command.replace(f"${name}", value) if loop else command) for value in values)


def check(command: str) -> None:
    """Run a command that is cheap, check one that is not, and fail for one that nothing here knows."""
    if command.startswith(NOT_RUN):
        return
    program, *arguments = shlex.split(command)
    if program == "make":
        done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    elif program == "pip" and arguments[:2] == ["install", "-e"]:
        asked = re.fullmatch(r"\.\[([\w,]+)\]", arguments[2])
        assert asked is not None
        assert set(asked[1].split(",")) <= set(importlib.metadata.metadata("vqgen").get_all("Provides-Extra") or ())
    elif program == "vqgen" and arguments[0] in LIGHTNING_COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--print_config"])
        assert stop.value.code == 0
    elif program == "vqgen" and arguments[0] == "quickstart":
        make_parser().parse_args(arguments)
    elif program == "vqgen":
        main(arguments)
    elif program == "python" and arguments[0] == "scripts/train.py":
        check(shlex.join(["vqgen", "fit", *arguments[1:]]))
    elif program == "python" and arguments[0].startswith("scripts/"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", arguments)
            runpy.run_path(arguments[0], run_name="__main__")
    else:
        raise AssertionError(f"no check for {command!r}; teach tests/test_readme.py one, or take the command out")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with the repository's configs and scripts, and a tiny pipeline wherever the README has a trained one."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("configs", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    for name, order in PIPELINES.items():
        make_tiny_pipeline(order).save_pretrained(folder / name)
    text, grey = make_tiny_pipeline(), make_tiny_pipeline()
    captions = TextEncoder(train_vocabulary(["red apple", "cat face"]), dim=16, length=8, depth=1)
    told("runs/openmoji_text", text, captions, folder)
    told(
        "runs/openmoji_colour",
        grey,
        AlignedGridConditioner(128, 8, 8, dim=16),
        folder,
        GridOfImages(grey.tokenizer, "grey"),
    )
    Image.new("RGB", (64, 64), "grey").save(folder / "grey.png")
    return folder


def told(
    name: str, pipeline: Pipeline, conditioner: Conditioner, folder: Path, grids: GridOfImages | None = None
) -> None:
    """Save a pipeline whose prior is told something else."""
    prior = Prior(128, 8, 8, dim=16, depth=1, heads=2, conditioner=conditioner)
    Pipeline(pipeline.tokenizer, prior, pipeline.order, grids=grids).save_pretrained(folder / name)


@pytest.fixture
def here(runs, monkeypatch):
    """That folder as the working folder, a cache of its own, and no command line but the one under test."""
    monkeypatch.setattr(sys, "argv", ["vqgen"])
    monkeypatch.chdir(runs)
    monkeypatch.setenv("XDG_CACHE_HOME", str(runs / "cache"))
    return runs


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, id=f"{page}:{line}")
        for page in PAGES
        for line, command in commands((ROOT / page).read_text(encoding="utf-8"))
    ],
)
def test_command(here, command):
    check(command)


def test_python_blocks_run_in_order(here, capsys):
    namespace: dict[str, object] = {"__name__": "readme"}
    for line, content in blocks(README, "python"):
        exec(compile("\n" * (line - 1) + content, "README.md", "exec"), namespace)
    assert namespace["images"].shape == (16, 3, 64, 64)
    assert namespace["codes"].shape == (16, 8, 8)
    assert (here / "runs" / "copy" / "prior" / "model.safetensors").is_file()
    assert namespace["wider"].shape == (4, 3, 64, 128)
    assert namespace["large"].shape == (2, 3, 128, 128)
    assert len(re.findall(r"nats per code", capsys.readouterr().out)) == 3


def test_every_kind_of_block_is_known():
    fences = [token.info for token in MarkdownIt().parse(README) if token.type == "fence"]
    assert set(fences) == {"bash", "python", "text"}
    assert len(list(commands(README))) >= 12


def test_commands_of_the_two_stages_are_among_them():
    found = [command for _, command in commands(README)]
    assert {"make quickstart", "make test", "vqgen fit --config configs/tokenizer/openmoji.yaml"} <= set(found)
    assert sum("--trainer.default_root_dir" in command for command in found) == 3
    assert not any("$" in command for command in found)


def test_sampling_commands_write_what_they_name(here):
    (command,) = [text for _, text in commands(README) if text.startswith("python scripts/sample.py runs/quickstart")]
    check(command.replace("samples.png", "from_script.png"))
    with Image.open(here / "from_script.png") as picture:
        assert picture.width > picture.height > 64


@pytest.mark.parametrize(
    "command",
    ["vqgn orders list", "rm -rf runs", "python train.py", "pip install -e '.[nonsense]'", "make quickstrat", "curl x"],
)
def test_a_command_that_does_not_exist_fails(command):
    with pytest.raises(AssertionError):
        check(command)


@pytest.mark.parametrize(
    "command",
    [
        "vqgen fit --config configs/tokenizer/nothing.yaml",
        "vqgen fit --config configs/prior/openmoji.yaml --model.init_args.ordr hilbert",
    ],
)
def test_a_config_or_flag_that_does_not_exist_fails(here, command, capsys):
    with pytest.raises(AssertionError):
        check(command)


def test_orders_table_is_the_code_s():
    assert definition_table(pictures="docs/images/orders") in README


def targets(text: str) -> set[str]:
    """What a page links to and shows, but for the web."""
    inline = [child for token in MarkdownIt().enable("table").parse(text) for child in token.children or ()]
    found = {
        str(token.attrGet("href") or token.attrGet("src")) for token in inline if token.type in ("link_open", "image")
    }
    return {target.split("#")[0] for target in found if not target.startswith(("http", "#"))}


@pytest.mark.parametrize("page", [*PAGES, "NOTES.md", "CHANGELOG.md"])
def test_links_lead_to_files(page):
    path = ROOT / page
    missing = [target for target in targets(path.read_text(encoding="utf-8")) if not (path.parent / target).exists()]
    assert missing == []

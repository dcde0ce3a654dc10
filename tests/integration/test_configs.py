"""Every config trains for two steps on made images of its own size, and says what a reader wants to know."""

from pathlib import Path

import pytest
import yaml

from vqgen import Pipeline, Tokenizer
from vqgen.cli import main
from vqgen.orders import order_policy

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*/*.yaml"))
ATTENTIONS = sorted((ROOT / "configs" / "prior" / "attention").glob("*.yaml"))
SHORT = [
    "--trainer.max_steps=2",
    "--trainer.limit_val_batches=1",
    "--trainer.num_sanity_val_steps=0",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--data.init_args.batch_size=2",
    "--data.init_args.num_workers=0",
]
# Sizes that matter to a GPU only, and what would be downloaded; everything else stays as it is.
SMALLER = {
    "tokenizer": [
        "--model.init_args.tokenizer.init_args.encoder.init_args.channels=8",
        "--model.init_args.tokenizer.init_args.decoder.init_args.channels=8",
    ],
    "prior": ["--model.init_args.prior.init_args.depth=2", "--model.init_args.samples=1"],
}


def of_this_config(config: dict) -> list[str]:
    """Flags for what only some configs have: one process, a discriminator's size, a perceptual net without weights."""
    arguments = config["model"]["init_args"]
    flags = ["--trainer.strategy=auto"] if "strategy" in config["trainer"] else []
    if "adversary" in arguments:
        discriminator = "--model.init_args.adversary.init_args.discriminator.init_args"
        schedule = "--model.init_args.adversary.init_args.schedule"
        flags += [f"{discriminator}.channels=8", f"{schedule}.start=0", f"{schedule}.alone=1", f"{schedule}.ramp=1"]
    if "perceptual" in arguments:
        flags += ["--model.init_args.perceptual.init_args.pretrained=false"]
    return flags


def made_images(config: dict, folder: Path, count: int) -> list[str]:
    """Flags that put made images of the same size in the place of the config's source."""
    old = config["data"]["init_args"]["source"]["init_args"]
    source = {"count": count, "size": old["size"], "channels": old.get("channels", 3)}
    path = folder / "source.yaml"
    path.write_text(yaml.safe_dump({"class_path": "vqgen.data.SyntheticImages", "init_args": source}))
    return [f"--data.init_args.source={path}"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """One folder for all configs, so that a prior finds the tokenizer of its data set."""
    folder = tmp_path_factory.mktemp("configs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder


def fit(path: Path, workspace: Path) -> Path:
    """Two steps of a config; returns the folder it wrote."""
    config = yaml.safe_load(path.read_text())
    stage = path.relative_to(ROOT / "configs").parts[0]
    flags = [*SHORT, *SMALLER[stage], *of_this_config(config), *made_images(config, workspace, count=24)]
    main(["fit", "--config", str(path), *flags])
    return Path(config["model"]["init_args"]["folder"])


def folder_of(path: Path) -> str:
    """Where a config writes its model."""
    return yaml.safe_load(path.read_text())["model"]["init_args"]["folder"]


# A prior and the tokenizer it names, which several priors of a data set share; one trained in another way has none.
TOKENIZERS = {folder_of(path): path for path in CONFIGS if path.parent.name == "tokenizer"}
PRIORS = sorted(path.name for path in CONFIGS if path.parent.name == "prior")
ALONE = sorted(path.name for path in TOKENIZERS.values() if path.name not in PRIORS)


@pytest.mark.parametrize("name", ALONE)
def test_tokenizer_config_trains_two_steps(name, workspace):
    tokenizer = fit(ROOT / "configs" / "tokenizer" / name, workspace)
    assert Tokenizer.from_pretrained(tokenizer).codebook_size > 0


@pytest.mark.parametrize("name", [*PRIORS, *(f"attention/{path.name}" for path in ATTENTIONS)])
def test_config_trains_two_steps(name, workspace):
    arguments = yaml.safe_load((ROOT / "configs" / "prior" / name).read_text())["model"]["init_args"]
    tokenizer = Path(arguments["tokenizer"])
    if not tokenizer.exists():
        assert fit(TOKENIZERS[str(tokenizer)], workspace) == tokenizer
    assert Tokenizer.from_pretrained(tokenizer).codebook_size > 0
    found = Pipeline.from_pretrained(fit(ROOT / "configs" / "prior" / name, workspace)).order
    trained_under = order_policy(arguments["order"], height=found.height, width=found.width)
    assert found.describe() == trained_under.at(2).describe()


@pytest.mark.parametrize("path", [*CONFIGS, *ATTENTIONS], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_config_says_what_it_is_for(path):
    text = path.read_text()
    for heading in ("Purpose", "Paper", "Hardware", "Duration", "Expected", "Command"):
        line = next((line for line in text.splitlines() if line.startswith(f"# {heading} ")), "")
        assert len(line.removeprefix(f"# {heading}").strip()) > 4, heading
    assert path.relative_to(ROOT).as_posix() in text


def test_every_stage_has_the_same_data_sets():
    names = [{path.name for path in CONFIGS if path.parent.name == stage} for stage in ("tokenizer", "prior")]
    # Another way to train a prior is named after a data set and for it: openmoji_annealed.yaml.
    ways = {name: Path(name).stem for name in names[1] - names[0]}
    assert all(any(stem.startswith(f"{Path(name).stem}_") for name in names[0]) for stem in ways.values())
    assert "smoke.yaml" in names[0] & names[1]
    # Another way to train a tokenizer is named for it and for a data set, vqgan_openmoji.yaml, or serves other priors.
    texts = [path.read_text() for path in ATTENTIONS]
    for name in names[0] - names[1]:
        folder = folder_of(ROOT / "configs" / "tokenizer" / name)
        named = Path(name).stem.partition("_")[2] + ".yaml" in names[1]
        assert named or any(f"tokenizer: {folder}\n" in text for text in texts), name

"""Both stages through the command line: trained, interrupted, resumed, and spread over processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vqgen import Pipeline, Tokenizer
from vqgen.cli import main

ROOT = Path(__file__).parents[2]
SILENT = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty folder with the configs beside it, and the cache inside it."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def fit(stage: str, *flags: str) -> None:
    main(["fit", "--config", f"configs/{stage}/smoke.yaml", *SILENT, *flags])


def fit_in_process(stage: str, *flags: str, check: bool = True, **options):
    """`vqgen fit` as a program of its own; returns the process when it need not be waited for."""
    command = [sys.executable, "-m", "vqgen", "fit", "--config", f"configs/{stage}/smoke.yaml", *SILENT, *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if not check:
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
        )
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=300)


def final_weights(stage: str) -> dict[str, torch.Tensor]:
    state = torch.load(f"runs/smoke/logs/{stage}/checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] == 8
    return state["state_dict"]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_both_stages_then_sample_in_the_order_of_one_flag(workspace):
    fit("tokenizer")
    fit("prior", "--model.init_args.order", "hilbert")
    pipeline = Pipeline.from_pretrained("runs/smoke")
    assert pipeline.order.name == "hilbert"
    assert pipeline.generate(2, pipeline.class_names[1], seed=1).shape == (2, 3, 16, 16)
    main(["sample", "runs/smoke", "--n", "3", "--out", "drawn/samples.png"])
    assert Path("drawn/samples.png").stat().st_size > 0
    assert list(Path("runs/smoke/logs/prior/lightning_logs").glob("*/images/validation-samples-*.png"))
    assert list(Path("runs/smoke/logs/tokenizer/lightning_logs").glob("*/images/validation-reconstructions-*.png"))


def test_tokenizer_logs_what_it_promises(workspace):
    fit("tokenizer")
    header = next(Path("runs/smoke/logs/tokenizer/lightning_logs").glob("*/metrics.csv")).read_text().splitlines()[0]
    promised = {
        "train/loss",
        "train/perplexity",
        "validation/psnr",
        "validation/codebook_used",
        "validation/codebook_perplexity",
        "validation/dead_codes",
    }
    assert promised <= set(header.split(","))


def test_a_prior_trains_on_images_without_cached_codes(workspace):
    fit("tokenizer")
    images = workspace / "images.yaml"
    images.write_text(
        "data:\n  class_path: vqgen.data.image_data.ImageDataModule\n  init_args:\n    batch_size: 8\n    source:\n"
        "      class_path: vqgen.data.SyntheticImages\n      init_args: {count: 64, size: 16}\n"
    )
    config = (ROOT / "configs/prior/smoke.yaml").read_text()
    (workspace / "prior.yaml").write_text(config[: config.index("data:\n")] + images.read_text())
    main(["fit", "--config", "prior.yaml", *SILENT])
    assert Pipeline.from_pretrained("runs/smoke").generate(1).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("stage", "flags"),
    [
        ("tokenizer", []),
        ("prior", ["--model.init_args.order", "random-per-sample", "--model.init_args.prior.init_args.dropout", "0.3"]),
    ],
)
def test_a_run_resumed_in_the_middle_of_an_epoch_ends_with_the_same_weights(workspace, stage, flags):
    fit("tokenizer")
    if stage == "prior":
        fit("prior", *flags)
    unbroken = final_weights(stage)
    checkpoints = Path(f"runs/smoke/logs/{stage}/checkpoints")
    fit(
        stage,
        *flags,
        "--trainer.callbacks.init_args.save_top_k",
        "-1",
        "--trainer.callbacks.init_args.every_n_train_steps",
        "3",
    )
    third = next(checkpoints.glob("*step=3.ckpt"))
    fit(stage, *flags, "--ckpt_path", str(third))
    assert_same(final_weights(stage), unbroken)


def test_resuming_in_another_order_is_refused_naming_both(workspace):
    fit("tokenizer")
    fit("prior", "--trainer.max_steps", "4")
    with pytest.raises(ValueError, match=r"'name': 'raster'.*'name': 'snake'"):
        fit("prior", "--model.init_args.order", "snake", "--ckpt_path", "last")


def test_codes_of_another_tokenizer_are_refused_naming_both(workspace):
    fit("tokenizer")
    fit("prior", "--data.init_args.codes", "codes")
    old = Tokenizer.from_pretrained("runs/smoke/tokenizer").fingerprint()
    fit("tokenizer", "--trainer.max_steps", "3")
    new = Tokenizer.from_pretrained("runs/smoke/tokenizer").fingerprint()
    with pytest.raises(ValueError, match=rf"(?s)({old}.*{new}|{new}.*{old})"):
        fit("prior", "--data.init_args.codes", "codes")


def test_an_image_size_that_does_not_divide_is_refused_before_training(workspace):
    with pytest.raises(ValueError, match=r"divisible by the tokenizer's downsampling 4, got 18 x 18"):
        fit("tokenizer", "--data.init_args.source.init_args.size", "18")
    assert not Path("runs/smoke/tokenizer").exists()


def test_a_missing_tokenizer_is_named(workspace):
    with pytest.raises(ValueError, match=r"found no runs/smoke/tokenizer/config.json; `vqgen fit` writes one"):
        fit("prior")


def test_a_collapsing_codebook_warns(workspace):
    with pytest.warns(UserWarning, match=r"the codebook is collapsing: .* of 32 codes"):
        fit("tokenizer", "--model.init_args.collapse_below", "1.01")


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_the_other_commands_take_the_last_checkpoint(workspace, command, capsys):
    fit("tokenizer")
    fit("prior")
    for stage, metric in (("tokenizer", "validation/psnr"), ("prior", "validation/nll")):
        capsys.readouterr()
        checkpoint = f"runs/smoke/logs/{stage}/checkpoints/last.ckpt"
        main([command, "--config", f"configs/{stage}/smoke.yaml", *SILENT, "--ckpt_path", checkpoint])
        assert command == "predict" or metric in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_resumes_to_the_same_weights(workspace, kill):
    fit_in_process("tokenizer")
    unbroken = final_weights("tokenizer")
    last = Path("runs/smoke/logs/tokenizer/checkpoints/last.ckpt")
    last.unlink()
    shutil.rmtree("runs/smoke/tokenizer")
    slow = ["--trainer.callbacks+=slow_steps.SlowSteps"]
    (workspace / "slow_steps.py").write_text(
        "import time\nimport pytorch_lightning as pl\n"
        "class SlowSteps(pl.Callback):\n"
        "    def on_train_batch_end(self, *args):\n        time.sleep(1)\n"
    )
    os.environ["PYTHONPATH"] = str(workspace)
    try:
        process = fit_in_process("tokenizer", *slow, check=False)
        deadline = time.monotonic() + 120
        while not last.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(kill)
        assert process.wait(60) != 0
        assert not Path("runs/smoke/tokenizer").exists()
    finally:
        del os.environ["PYTHONPATH"]
    done = torch.load(last, weights_only=True)["global_step"]
    assert 2 <= done < 8
    fit_in_process("tokenizer", "--ckpt_path", "last")
    assert_same(final_weights("tokenizer"), unbroken)


@pytest.mark.slow
def test_two_processes_train_both_stages(workspace):
    ddp = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    fit_in_process("tokenizer", *ddp, "--data.init_args.batch_size", "4")
    fit_in_process("prior", *ddp, "--data.init_args.batch_size", "4")
    assert final_weights("prior")
    assert Pipeline.from_pretrained("runs/smoke").generate(1).shape == (1, 3, 16, 16)

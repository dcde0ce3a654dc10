"""Runs: equal starts, the right ranking, resuming, failing, and several processes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from filelock import FileLock
from made_plan import make_plan

import vqgen.compare.run as compare_run
from vqgen.compare import Budget, QualityPlan, analyse, read_failure, read_result, run_in_processes, run_plan, state_of
from vqgen.compare.preparation import code_data
from vqgen.compare.run import execute, make_module, run_folder
from vqgen.training import PriorModule


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def finished(workspace):
    """A plan that has run."""
    plan = make_plan(workspace, folder=str(workspace / "finished"))
    lines = []
    run_plan(plan, say=lines.append)
    return plan, lines


def results_of(plan):
    return [read_result(run_folder(plan, run)) for run in plan.runs()]


def test_codes_that_follow_the_raster_are_learned_best_in_raster_order(finished):
    plan, _ = finished
    found = analyse(results_of(plan), reference="raster")
    assert [each.label for each in found.contenders] == ["raster", "random"]
    assert found["random"].across_seeds.difference.low > 0.5
    assert found["random"].across_seeds.significant
    assert found["random"].across_images.significant


def test_every_run_leaves_what_the_report_needs(finished):
    plan, lines = finished
    assert len(state_of(plan).finished) == len(plan.runs()) == 6
    for run, found in zip(plan.runs(), results_of(plan), strict=True):
        assert (found.steps, [int(point[0]) for point in found.curve]) == (40, [20, 40])
        assert len(found.step_nats) == len(found.cell_nats) == 16
        assert len(found.image_nats) == 128
        assert sum(found.step_nats) == pytest.approx(sum(found.cell_nats), abs=1e-4)
        assert found.nll == pytest.approx(sum(found.image_nats) / 128, abs=1e-5)
        assert found.steps_per_second > 0
        assert found.images_per_second > 0
        # What is scored at a step is the cell visited at it.
        assert found.step_nats[3] == pytest.approx(found.cell_nats[found.positions[3]], abs=1e-5)
        assert (run_folder(plan, run) / "samples.png").is_file()
        assert not (run_folder(plan, run) / "last.ckpt").exists()
    assert sum("nats per code" in line for line in lines) == 6


def test_finished_runs_are_not_done_again(finished):
    plan, _ = finished
    before = [(run_folder(plan, run) / "result.json").stat().st_mtime_ns for run in plan.runs()]
    lines = []
    run_plan(plan, say=lines.append)
    assert lines == []
    assert [(run_folder(plan, run) / "result.json").stat().st_mtime_ns for run in plan.runs()] == before


def test_a_changed_plan_is_not_mixed_with_old_runs(finished):
    plan, _ = finished
    changed = make_plan(Path(plan.folder).parent, folder=plan.folder, budget=Budget(steps=41))
    with pytest.raises(ValueError, match="another budget"):
        execute(changed, changed.runs()[0])


def test_runs_of_a_seed_start_equal_and_see_equal_batches(workspace):
    plan = make_plan(workspace)
    modules, batches = {}, {}
    for run in plan.runs()[:4]:
        torch.manual_seed(len(modules))  # whatever came before
        data = code_data(plan, seed=run.seed)
        modules[run.order, run.seed] = make_module(plan, run, data).prior.state_dict()
        batches[run.order, run.seed] = next(iter(data.train_dataloader())).codes
    for name, tensor in modules["raster", 0].items():
        assert torch.equal(tensor, modules["random", 0][name]), name
    assert torch.equal(batches["raster", 0], batches["random", 0])
    assert not torch.equal(batches["raster", 0], batches["raster", 1])
    weights = "blocks.0.attention.qkv.weight"
    different = [
        name for name in modules["raster", 0] if not torch.equal(modules["raster", 0][name], modules["raster", 1][name])
    ]
    assert different, weights


def test_seeds_draw_other_permutations_of_random(finished):
    plan, _ = finished
    drawn = [found.positions for found in results_of(plan) if found.order == "random"]
    assert len({tuple(positions) for positions in drawn}) == 3


class Killed(BaseException):
    """Like a kill, it is not an error of the run."""


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been_killed(finished, workspace, monkeypatch):
    plan = make_plan(workspace, folder=str(workspace / "killed"), seeds=(0,), orders=("raster",))
    steps = []
    real = PriorModule.training_step

    def training_step(self, batch, batch_index):
        steps.append(self.trainer.global_step)
        if len(steps) == 28:
            raise Killed
        return real(self, batch, batch_index)

    monkeypatch.setattr(PriorModule, "training_step", training_step)
    with pytest.raises(Killed):
        run_plan(plan)
    assert state_of(plan).open == plan.runs()
    assert read_failure(run_folder(plan, plan.runs()[0])) is None
    run_plan(plan)
    assert steps[28] == 20  # the last checkpoint before
    found, whole = results_of(plan)[0], results_of(finished[0])[0]
    assert found.nll == pytest.approx(whole.nll, abs=1e-6)
    assert [point[0] for point in found.curve] == [20, 40]
    assert found.curve[1][2] == pytest.approx(whole.curve[1][2], abs=1e-5)


@pytest.mark.parametrize("budget", [Budget(steps=25), Budget(seconds=0.5)])
def test_a_run_that_is_killed_after_training_does_not_train_again(workspace, monkeypatch, budget):
    folder = workspace / f"measuring-{budget.steps}"
    plan = make_plan(workspace, folder=str(folder), seeds=(0,), orders=("raster",), budget=budget)
    trained = []
    real_step, real_measure = PriorModule.training_step, compare_run.measure_likelihood

    def training_step(self, batch, batch_index):
        trained.append(self.trainer.global_step)
        return real_step(self, batch, batch_index)

    def killed(*arguments, **options):
        raise Killed

    monkeypatch.setattr(PriorModule, "training_step", training_step)
    monkeypatch.setattr(compare_run, "measure_likelihood", killed)
    with pytest.raises(Killed):
        run_plan(plan)
    monkeypatch.setattr(compare_run, "measure_likelihood", real_measure)
    done = len(trained)
    run_plan(plan, say=lambda line: None)
    assert len(trained) == done
    assert results_of(plan)[0].steps == done


def test_a_process_that_is_killed_outright_loses_no_more_than_the_interval(workspace):
    plan = make_plan(
        workspace, folder=str(workspace / "kill-9"), seeds=(0,), orders=("raster",), budget=Budget(steps=3000)
    )
    file = write_plan(plan, workspace / "kill.yaml")
    checkpoint = run_folder(plan, plan.runs()[0]) / "last.ckpt"
    process = subprocess.Popen([sys.executable, "-m", "vqgen", "compare", "run", str(file)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not checkpoint.is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert checkpoint.is_file()
    done = torch.load(checkpoint, weights_only=True)["global_step"]
    assert done % 10 == 0
    assert done < 3000
    assert state_of(plan).open == plan.runs()
    # The lock of a dead process does not stay.
    with FileLock(checkpoint.parent / "run.lock", timeout=0):
        pass


def test_ending_the_first_process_ends_those_it_started(workspace):
    plan = make_plan(workspace, folder=str(workspace / "ended"), seeds=(0,), budget=Budget(steps=100_000))
    file = write_plan(plan, workspace / "ended.yaml")
    folders = [run_folder(plan, run) for run in plan.runs()]
    command = [sys.executable, "-m", "vqgen", "compare", "run", str(file), "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not all((folder / "last.ckpt").is_file() for folder in folders) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    for folder in folders:
        assert (folder / "last.ckpt").is_file()
        with FileLock(folder / "run.lock", timeout=30):  # free once its process is gone
            pass


def test_a_run_that_is_being_done_elsewhere_is_left_alone(workspace):
    plan = make_plan(workspace, folder=str(workspace / "locked"), seeds=(0,), budget=Budget(steps=2))
    folder = run_folder(plan, plan.runs()[0])
    folder.mkdir(parents=True)
    with FileLock(folder / "run.lock"):
        state = run_plan(plan, say=lambda line: None)
    assert [run.order for run in state.open] == ["raster"]
    assert [run.order for run in state.finished] == ["random"]


def test_a_failing_run_is_reported_and_the_others_go_on(workspace, monkeypatch):
    plan = make_plan(
        workspace,
        folder=str(workspace / "failing"),
        seeds=(0,),
        orders=("raster", "taming:nonsense", "hilbert"),
        budget=Budget(steps=2),
    )
    lines = []
    state = run_plan(plan, say=lines.append)
    assert [run.order for run in state.failed] == ["taming:nonsense"]
    assert len(state.finished) == 2
    failure = read_failure(run_folder(plan, plan.runs()[1]))
    assert "ValueError: unknown order 'taming:nonsense'" in failure.error
    assert "Traceback" in failure.traceback
    assert any("FAILED" in line for line in lines)
    lines.clear()
    run_plan(plan, say=lines.append)
    assert lines == []  # not tried again without being asked
    run_plan(plan, retry=True, say=lines.append)
    assert len(lines) == 1


def test_an_index_does_one_run_and_a_wrong_one_is_refused(workspace):
    plan = make_plan(workspace, folder=str(workspace / "index"), seeds=(0,), budget=Budget(steps=2))
    state = run_plan(plan, indices=[1], say=lambda line: None)
    assert [run.index for run in state.finished] == [1]
    with pytest.raises(ValueError, match="runs 0 to 1, got index 2"):
        run_plan(plan, indices=[2])


def test_two_processes_share_the_runs(workspace):
    plan = make_plan(workspace, folder=str(workspace / "parallel"), budget=Budget(steps=2), seeds=(0, 1))
    file = write_plan(plan, workspace / "parallel.yaml")
    state = run_in_processes(plan, file, jobs=2, say=lambda line: None)
    assert len(state.finished) == 4
    with pytest.raises(ValueError, match="jobs must be >= 1"):
        run_in_processes(plan, file, jobs=0)


def test_a_budget_in_seconds_ends_by_the_clock(workspace):
    plan = make_plan(
        workspace, folder=str(workspace / "clock"), seeds=(0,), orders=("raster",), budget=Budget(seconds=0.5)
    )
    run_plan(plan, say=lambda line: None)
    found = results_of(plan)[0]
    assert found.steps >= 1
    assert found.seconds < 30


def test_orders_drawn_for_each_sample_have_no_positions(workspace):
    plan = make_plan(
        workspace,
        folder=str(workspace / "any"),
        seeds=(0,),
        orders=("raster", "random-per-sample"),
        budget=Budget(steps=2),
    )
    run_plan(plan, say=lambda line: None)
    found = results_of(plan)[1]
    assert found.positions is None
    assert len(found.step_nats) == 16


def test_a_missing_tokenizer_without_config_says_what_to_do(workspace):
    plan = make_plan(workspace)
    missing = {**plan.describe()["tokenizer"], "folder": str(workspace / "nothing")}
    changed = make_plan(workspace, tokenizer=type(plan.tokenizer)(**missing))
    with pytest.raises(FileNotFoundError, match="names no config"):
        run_plan(changed)


def write_plan(plan, path):
    """The plan as a file that a process of its own can read."""
    described = plan.describe()
    source = described.pop("source")
    described["source"] = {"class_path": "vqgen.data.SyntheticImages", "init_args": source["arguments"]}
    described["budget"] = {name: value for name, value in described["budget"].items() if value is not None}
    path.write_text(yaml.safe_dump(json.loads(json.dumps(described))))
    return path


def test_quality_is_measured_against_held_out_images_in_a_stated_space(workspace, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace / "cache"))
    quality = QualityPlan(images=32, extractor="made_plan.MeanColours", shown=4, batch_size=16)
    plan = make_plan(
        workspace,
        folder=str(workspace / "quality"),
        seeds=(0,),
        orders=("raster",),
        budget=Budget(steps=2),
        quality=quality,
    )
    run_plan(plan, say=lambda line: None)
    found = results_of(plan)[0]
    assert set(found.quality) == {"fid_mean_colours", "kid_mean_colours"}
    assert found.quality["fid_mean_colours"] > 0
    assert found.conditions["count"] == 32
    assert found.conditions["reference"]["extractor"] == "mean_colours"
    assert found.conditions["reference"]["split"] == "validation"
    assert found.conditions["sampling"]["temperature"] == 1.0
    analysis = analyse(results_of(plan), reference="raster")
    assert analysis["raster"].quality["fid_mean_colours"].mean == found.quality["fid_mean_colours"]


def test_annealed_orders_are_measured_in_their_target(workspace):
    annealed = "annealed:random-per-sample->raster@1-2"
    plan = make_plan(
        workspace, folder=str(workspace / "annealed"), seeds=(0,), orders=("raster", annealed), budget=Budget(steps=3)
    )
    run_plan(plan, say=lambda line: None)
    raster, target = results_of(plan)
    assert target.order == annealed
    assert target.positions == raster.positions

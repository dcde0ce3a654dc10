"""What the program sets for its process: on, off by the environment, harmless where nothing can be set."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vqgen import runtime
from vqgen.cli import main
from vqgen.runtime import allowed_processors, limit_threads, prepared_runtime


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch):
    monkeypatch.delenv(runtime.SWITCH, raising=False)


def denormal_survives() -> bool:
    return bool(torch.full((4,), 1e-40).mul(0.5).sum() > 0)


def test_denormals_are_zero_inside_the_block_only():
    assert denormal_survives()
    with prepared_runtime() as settings:
        (setting,) = [setting for setting in settings if setting.name == "denormals as zero"]
        assert setting.done is not denormal_survives()
    assert denormal_survives()


def test_an_error_in_the_block_puts_everything_back(monkeypatch, tmp_path):
    allow(monkeypatch, tmp_path, "100000 100000", threads=2)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(ZeroDivisionError), prepared_runtime():
            torch.get_num_threads() / (torch.get_num_threads() - 1)
        assert torch.get_num_threads() == 2
        assert denormal_survives()
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("value", ["off", "OFF", "0"])
def test_one_variable_switches_everything_off(monkeypatch, value):
    monkeypatch.setenv(runtime.SWITCH, value)
    monkeypatch.setattr(runtime, "keep_freed_memory", lambda: pytest.fail("was called"))
    with prepared_runtime() as settings:
        assert denormal_survives()
    assert [setting.done for setting in settings] == [False] * 3
    assert {setting.why for setting in settings} == {"switched off by VQGEN_RUNTIME"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts Linux's page faults")
def test_kept_memory_is_not_faulted_in_again():
    program = """
import resource, sys, torch
from vqgen.runtime import prepared_runtime
torch.set_num_threads(1)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(2**23).add_(1)  # 32 MiB, 8192 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = faults()
with prepared_runtime() as settings:
    faults()
    print(settings[0].done, without, faults())
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    done, without, kept = output.split()
    if done == "False":
        pytest.skip("no glibc here")
    assert int(kept) < 100 < int(without)


def test_without_glibc_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(runtime.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: pytest.fail("was called"))
    setting = runtime.keep_freed_memory()
    assert not setting.done
    assert "without glibc" in setting.why


def test_a_library_without_mallopt_is_left_alone(monkeypatch):
    monkeypatch.setattr(runtime.platform, "libc_ver", lambda: ("glibc", "2.0"))
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: object())
    assert "no mallopt" in runtime.keep_freed_memory().why


def allow(monkeypatch, folder: Path, text: str, threads: int) -> None:
    for variable in runtime.THREAD_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    (folder / "cpu.max").write_text(text)
    monkeypatch.setattr(runtime, "limit_threads", lambda: limit_threads(folder))


def test_threads_are_limited_to_the_containers_share(monkeypatch, tmp_path):
    allow(monkeypatch, tmp_path, "150000 100000", threads=2)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        setting = limit_threads(tmp_path)
        assert (setting.done, torch.get_num_threads()) == (True, 1)
        assert setting.why == "1 in place of 2: the container's share is 1.5"
        assert limit_threads(tmp_path).done is False
    finally:
        torch.set_num_threads(threads)


def test_the_environments_number_of_threads_stands(monkeypatch, tmp_path):
    allow(monkeypatch, tmp_path, "1000 100000", threads=2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    setting = limit_threads(tmp_path)
    assert not setting.done
    assert "OMP_NUM_THREADS is set" in setting.why


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, math.inf),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "400000 100000\n"}, 4.0),
        ({"cpu.max": "nonsense"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
    ],
)
def test_both_versions_of_limits_are_read(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert allowed_processors(tmp_path) == expected


def test_info_tells_versions_machine_and_what_is_set(capsys, monkeypatch):
    main(["info"])
    text = capsys.readouterr().out
    assert f"torch {torch.__version__.split('+')[0]}" in text
    assert "threads: " in text
    assert "GPUs: none" in text
    assert "denormals as zero: yes, below 1.2e-38" in text
    assert "own kernels for few rows: " in text
    monkeypatch.setenv(runtime.SWITCH, "off")
    main(["info"])
    assert capsys.readouterr().out.count("switched off by VQGEN_RUNTIME") == 3


def test_only_commands_that_compute_prepare_the_runtime(monkeypatch, tmp_path, capsys):
    seen = []
    monkeypatch.setattr(runtime, "flush_denormals", lambda: seen.append("set") or runtime.Setting("x", True, ""))
    main(["orders", "list"])
    assert seen == []
    with pytest.raises(SystemExit):
        main(["sample", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit):
        main(["tokenize", "--help"])
    assert seen == ["set", "set"]

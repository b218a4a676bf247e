"""Where a process can be held to a share of a CPU, and that nothing is left of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jepsen_like.backends import leftovers
from jepsen_like.backends.cgroups import Hierarchy, hierarchy

SYSTEMD = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
CONTAINER = "688 687 0:26 /docker/3f2a /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw"
V1_CPU = "32 28 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
V1_FREEZER = "33 28 0:30 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer"
HYBRID = "34 28 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
ROOT = "28 1 254:0 / / rw,relatime - ext4 /dev/root rw"


@pytest.mark.parametrize(
    ("mounts", "groups", "version", "home"),
    [
        pytest.param(
            [ROOT, SYSTEMD],
            ["0::/user.slice/session-3.scope"],
            *(2, "/sys/fs/cgroup/user.slice/session-3.scope"),
            id="version 2",
        ),
        pytest.param(
            [CONTAINER], ["0::/docker/3f2a/x"], 2, "/sys/fs/cgroup/x", id="a part of it is mounted"
        ),
        pytest.param(
            [HYBRID, V1_FREEZER, V1_CPU],
            ["5:freezer:/", "4:cpu,cpuacct:/some", "0::/"],
            *(1, "/sys/fs/cgroup/cpu,cpuacct/some"),
            id="the controller is in version 1",
        ),
    ],
)
def test_the_group_of_a_process_is_found(
    mounts: list[str], groups: list[str], version: int, home: str
) -> None:
    found = hierarchy(mounts, groups)
    assert found is not None
    assert (found.version, found.home) == (version, Path(home))


def test_without_the_controller_there_is_none() -> None:
    assert hierarchy([ROOT, V1_FREEZER], ["5:freezer:/"]) is None
    assert hierarchy([CONTAINER], ["0::/docker/another"]) is None


def test_a_share_is_a_quota_of_a_period() -> None:
    two = Hierarchy(2, Path("/sys/fs/cgroup"), "/")
    assert two.limits(0.1) == {"cpu.max": "10000 100000"}
    assert two.limits(0.005) == {"cpu.max": "1000 200000"}, "the kernel takes no smaller quota"
    one = Hierarchy(1, Path("/sys/fs/cgroup/cpu"), "/")
    assert one.limits(0.1) == {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "10000"}


def test_of_version_2_a_group_above_has_to_pass_the_controller_on(tmp_path: Path) -> None:
    home = tmp_path / "slice" / "service" / "scope"
    home.mkdir(parents=True)
    controllers = {tmp_path: "cpu memory", home.parent.parent: "memory cpu", home.parent: "memory"}
    for group in (home, *home.parents):
        if group.is_relative_to(tmp_path):
            (group / "cgroup.subtree_control").write_text(controllers.get(group, ""))
    found = Hierarchy(2, tmp_path, "/slice/service/scope")
    assert list(found.parents()) == [home.parent.parent, tmp_path]


def test_a_group_that_a_killed_harness_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is alive keeps its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    program = f"""
import os, signal
from pathlib import Path
from jepsen_like.backends import leftovers
with leftovers.claimed_group(Path({str(tmp_path)!r}) / leftovers.group_name(7)):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    (left,) = leftovers.find().directories
    assert left.parent == tmp_path
    mine = tmp_path / leftovers.group_name(7)
    with leftovers.claimed_group(mine):
        assert leftovers.clean().directories == (left,)
        assert mine.is_dir()
    assert not left.exists()
    assert not mine.exists()

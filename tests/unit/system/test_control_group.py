from pathlib import Path

import pytest

from daemon.system.process import Memory, memory


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def version_2(limit: str) -> dict[str, str]:
    return {
        "proc/self/cgroup": "0::/system.slice/forewarn.service\n",
        "sys/fs/cgroup/system.slice/forewarn.service/memory.max": limit,
        "sys/fs/cgroup/system.slice/forewarn.service/memory.stat": "anon 700\nfile 900\n",
    }


def version_1(limit: str) -> dict[str, str]:
    return {
        "proc/self/cgroup": "5:cpu,cpuacct:/x\n3:memory:/forewarn\n1:name=systemd:/x\n0::/x\n",
        "sys/fs/cgroup/memory/forewarn/memory.limit_in_bytes": limit,
        "sys/fs/cgroup/memory/forewarn/memory.stat": "cache 900\nrss 600\ntotal_rss 700\n",
    }


@pytest.mark.parametrize("files", [version_2("1000\n"), version_1("1000\n")])
def test_both_versions_have_the_used_memory_and_the_limit(tmp_path: Path, files: dict[str, str]) -> None:
    """Used is anonymous memory: the kernel frees the file cache before it kills a process."""
    assert memory(written(tmp_path, files)) == Memory(700, 1000)


@pytest.mark.parametrize("files", [version_2("max\n"), version_1("9223372036854771712\n"), {}])
def test_without_a_limit_there_is_no_memory(tmp_path: Path, files: dict[str, str]) -> None:
    """No limit, or no control group, gives None."""
    assert memory(written(tmp_path, files)) is None

"""The container has no more than it needs, measured from inside it and from around it."""

import re
import socket

import pytest

from containers import Containers
from project import Stack

pytestmark = pytest.mark.compose
DAC_OVERRIDE = 1 << 1  # capability 1 of linux/capability.h


def test_the_container_cannot_write_to_the_code_nor_to_its_root(shared: Containers) -> None:
    code = ("init/ready.d", "stack", "lambdas", "lambdas/redirect")
    folders = [*(f"/etc/localstack/{folder}" for folder in code), "/", "/etc", "/usr/bin", "/opt/ministack", "/root"]
    said = shared.shell(f"for folder in {' '.join(folders)}; do touch $folder/intruder; done").stderr
    assert len(re.findall("Read-only file system", said)) == len(folders), said
    assert [folder for folder in code if (shared.folder / folder / "intruder").exists()] == []


def test_the_container_can_write_outputs_state_and_temporary_files(shared: Containers) -> None:
    own = " ".join(f"{folder}/.own" for folder in ("/outputs", "/state", "/tmp"))
    assert shared.shell(f"touch {own} && rm {own}").returncode == 0


def test_the_container_has_no_docker_socket(shared: Containers) -> None:
    assert shared.shell("test -e /var/run/docker.sock -o -e /run/docker.sock").returncode == 1
    assert "docker.sock" not in shared.shell("cat /proc/mounts").stdout
    assert "docker.sock" not in shared.inspect("{{json .Mounts}} {{json .HostConfig.Binds}}")


def test_the_container_mounts_what_it_needs_and_nothing_else(shared: Containers) -> None:
    mounts = shared.inspect("{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}\n{{end}}").splitlines()
    assert sorted(mounts) == [
        "bind /etc/localstack/init false",
        "bind /etc/localstack/lambdas false",
        "bind /etc/localstack/stack false",
        "bind /outputs true",
        "volume /state true",
    ]


def test_no_process_of_it_can_do_more_than_write_to_the_outputs(shared: Containers, stack: Stack) -> None:
    stack.follow("unknown")  # a function's process is there too
    status = shared.shell("cat /proc/[0-9]*/status").stdout
    assert len(re.findall(r"^Name:", status, re.MULTILINE)) > 1
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        held = {int(value, 16) for value in re.findall(rf"^{kind}:\s+(\w+)", status, re.MULTILINE)}
        assert held <= {0, DAC_OVERRIDE}, kind
    assert {*re.findall(r"^NoNewPrivs:\s+(\d)", status, re.MULTILINE)} == {"1"}


def test_the_container_is_not_privileged_and_shares_nothing_of_the_host(shared: Containers) -> None:
    host = "{{.HostConfig.%s}}"
    assert shared.inspect(host % "Privileged") == "false"
    assert shared.inspect(host % "PidMode") == ""
    assert shared.inspect(host % "NetworkMode") not in ("host", "bridge")
    assert shared.inspect("{{json .HostConfig.Devices}}") in ("null", "[]")


def test_one_port_is_published_and_to_this_machine_alone(shared: Containers) -> None:
    port = int(shared.settings["HOST_PORT"])
    published = shared.docker("port", shared.container).stdout
    assert published == f"4566/tcp -> 127.0.0.1:{port}\n"
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    gateway = shared.inspect("{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}")
    with pytest.raises(OSError, match=r"."), socket.create_connection((gateway, port), timeout=5):
        pass

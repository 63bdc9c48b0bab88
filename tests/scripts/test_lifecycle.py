"""Start, stop and wipe the embedded engine: what is deleted, what is said, and that the stack comes back."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import jwt
import pytest
from botocore.exceptions import BotoCoreError, ClientError

import builds
from project import CHECKOUT, DEFAULTS, Project, answers, aws, free_port, until
from session import session
from stack import outputs
from stack.commands.engines import Engines
from stack.deploy import __main__ as deploy
from stack.engine.embedded import make_outputs
from stack.engine.folder import Running, StateDir
from stack.errors import DeployError

LINK = {"long_url": "https://example.com/", "code": "kept"}
NO_DOCKER = "tcp://127.0.0.1:1"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Project]:
    """Yield a copy of the checkout with nothing running, and no Docker engine in sight."""
    project = Project.copy(tmp_path, DOCKER_HOST=NO_DOCKER)
    yield project
    project.discard()


@pytest.fixture(scope="module")
def disk() -> Iterator[Path | None]:
    """Yield a disk for the state of an engine, which a test may fill; None where none can be mounted."""
    with small_disk("64m") as folder:
        yield folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, disk: Path | None) -> Iterator[Project]:
    """Yield a project whose engine the tests start and stop as they like."""
    project = Project.copy(tmp_path_factory.mktemp("kept"), DOCKER_HOST=NO_DOCKER)
    builds.shrink(project)
    if disk:
        project.settings["STATE_DIR"] = str(disk / "all")
    yield project
    project.discard()


@pytest.fixture
def running(kept: Project) -> Project:
    """Return the same project with its engine up, which only the tests that stopped it have to pay for."""
    if StateDir(kept.state).running() is None:
        kept.up()
    return kept


def tree(folder: Path) -> dict[str, str | None]:
    """Return every path below the folder, and what each file has in it."""
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in folder.rglob("*")}


def refusal(project: Project, script: str, *arguments: str, **changes: str) -> str:
    """Run a script that must refuse; return the one line that says why."""
    done = project.run(script, *arguments, **changes)
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def published(project: Project) -> bool:
    return any((project.outputs / name).exists() for name in ("api_id", "api_url"))


# What is deleted


FOREIGN: dict[str, Callable[[Path], Path]] = {
    "a folder with other things in it": lambda folder: folder,
    "a folder with a data folder in it": lambda folder: folder / "project",
    "a symlink": lambda folder: folder / "link",
    "a file": lambda folder: folder / "notes.txt",
    "the root folder": lambda _: Path("/"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_state_dir_that_is_not_the_engines_is_refused_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    for name in ("data", "tmp", "project/data", "project/tmp", "empty"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("data/thesis.txt", "tmp/draft.txt", "notes.txt", "project/data/a.json", "project/tmp/b"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    before = tree(tmp_path)
    state = StateDir(FOREIGN[what](tmp_path))
    for use in (state.claim, state.wipe):
        with pytest.raises(DeployError, match=f"^STATE_DIR {re.escape(str(state.path))} "):
            use()
        assert tree(tmp_path) == before
    assert state.running() is None


def test_up_and_wipe_refuse_a_state_dir_with_other_things_and_down_has_nothing_to_stop(bare: Project) -> None:
    home = bare.folder.parent / "home"
    (home / "data").mkdir(parents=True)
    (home / "data/thesis.txt").write_text("mine")
    for command in (["scripts/down.sh", "--wipe"], ["scripts/up.sh"]):
        assert f"STATE_DIR {home} has things in it" in refusal(bare, *command, STATE_DIR=str(home))
    assert bare.check("scripts/down.sh", STATE_DIR=str(home)) == "==> down\n"
    assert tree(home) == {"data": None, "data/thesis.txt": "mine"}


def earlier_version(folder: Path) -> None:
    """Make the folder as the project made it before it had a marker."""
    for name in ("data", "tmp/ministack-lambda-1"):
        (folder / name).mkdir(parents=True)
    (folder / "data/dynamodb.json").write_text("{}")
    (folder / "engine.log").touch()
    (folder / "engine.lock").write_text("99999999 4566\n")


def test_wipe_says_what_it_deleted_and_that_without_docker_a_volume_may_be_left(bare: Project) -> None:
    earlier_version(bare.folder / ".state")  # which an empty STATE_DIR means
    volume = re.compile(r"^==> warning: .*: a Docker volume may still hold links of this stack", re.MULTILINE)
    printed = bare.check("scripts/down.sh", "--wipe", STATE_DIR="", ENGINE="")
    assert f"the data of the embedded engine is wiped ({bare.folder / '.state/data'})" in printed
    assert volume.search(printed)
    assert not (bare.folder / ".state/data").exists()
    for engine in ("", "docker"):
        printed = bare.check("scripts/down.sh", "--wipe", STATE_DIR="", ENGINE=engine)
        assert volume.search(printed)
        assert "wiped" not in printed
        assert "no data" not in printed


def test_wipe_follows_no_symlink_and_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    state = StateDir(tmp_path / "state")
    state.claim()
    (state.path / "notes.txt").write_text("mine")
    (state.data / "dynamodb").mkdir(parents=True)
    (state.data / "dynamodb/link").symlink_to(precious)
    assert state.wipe()
    assert not state.data.exists()
    assert (state.path / "notes.txt").read_text() == "mine"
    for name, use in (("data", state.wipe), ("tmp", state.wipe), ("tmp", state.new_temporary)):
        (state.path / name).symlink_to(precious)
        with pytest.raises(DeployError, match=f"^{state.path / name} is not a folder that the engine made"):
            use()
        (state.path / name).unlink()
    assert tree(precious) == {"thesis.txt": "mine"}


# What keeps it from starting


def docker_that(folder: Path, version: str, compose: str) -> str:
    """Return a PATH that finds a docker whose two version commands do this."""
    docker = folder / "bin/docker"
    docker.parent.mkdir(exist_ok=True)
    docker.write_text(f'#!/bin/sh\ncase "$1" in version) {version} ;; compose) {compose} ;; *) exit 1 ;; esac\n')
    docker.chmod(0o755)
    return f"{docker.parent}{os.pathsep}{os.environ['PATH']}"


DENIED = "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1"
DOCKERS = {
    "no engine": ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "echo 2.40.3", "no Docker engine answers"),
    "denied": (DENIED, "echo 2.40.3", "you may not use the Docker engine (permission denied on its socket)"),
    "no compose": ("echo 28.2.2", "exit 1", "Docker has no Compose v2"),
    "old": ("echo 28.2.2", "echo v2.17.3", "Docker Compose v2.17.3 is too old (2.20 or newer is needed)"),
}


@pytest.mark.parametrize("case", DOCKERS)
def test_the_reason_not_to_use_docker_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    version, compose, reason = DOCKERS[case]
    monkeypatch.setenv("PATH", docker_that(tmp_path, version, compose))
    with pytest.raises(DeployError) as refused:
        Engines.from_environment({**DEFAULTS, "ENGINE": "docker"}).choose()
    assert str(refused.value) == f"{reason}: fix that, or use ENGINE=embedded scripts/up.sh"
    release = DEFAULTS["MINISTACK_IMAGE"].partition(":")[2]
    chosen = Engines.from_environment({**DEFAULTS, "ENGINE": ""}).choose()
    assert chosen == ("embedded", f"MiniStack {release}, embedded ({reason})")


def test_up_without_the_docker_that_was_asked_for_is_refused(bare: Project) -> None:
    version, compose, reason = DOCKERS["old"]
    line = refusal(bare, "scripts/up.sh", ENGINE="docker", PATH=docker_that(bare.folder.parent, version, compose))
    assert line == f"error: {reason}: fix that, or use ENGINE=embedded scripts/up.sh"


def test_a_port_in_use_is_named_with_a_way_out(bare: Project) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", int(bare.settings["HOST_PORT"])))
        busy.listen()
        assert f"error: port {bare.settings['HOST_PORT']} cannot be used" in refusal(bare, "scripts/up.sh")
        assert "still listens on port" in bare.check("scripts/down.sh")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file/folder"
    with pytest.raises(DeployError, match=f"^STATE_DIR {folder} "):
        StateDir(folder).claim()
    with pytest.raises(DeployError, match=f"^OUTPUTS_DIR {folder} "):
        make_outputs(folder)


def test_damaged_state_is_named_once(bare: Project) -> None:
    earlier_version(bare.state)
    saved = bare.state / "data/iam.json"
    saved.write_text("{")
    done = bare.run("scripts/up.sh")
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count(str(saved)) == 1
    assert "==> ready" not in done.stdout


@contextlib.contextmanager
def small_disk(size: str) -> Iterator[Path | None]:
    folder = Path(tempfile.mkdtemp())
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    try:
        (folder / "all").mkdir()
        yield folder if mounted.returncode == 0 else None
    finally:
        subprocess.run(["umount", "--lazy", folder], check=mounted.returncode == 0, capture_output=True)
        shutil.rmtree(folder)


def fill(disk: Path) -> None:
    """Leave no byte, whatever else is being written."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


# A start that is ended


def found(engine: str, service: str, operation: str, member: str) -> bool:
    try:
        return bool(getattr(aws(engine, service), operation)()[member])
    except (BotoCoreError, ClientError):
        return False  # it is not up yet


MOMENTS: dict[str, Callable[[Project], bool]] = {
    "started": lambda project: StateDir(project.state).running() is not None,
    "serving": lambda project: answers(project.engine),
    "table": lambda project: found(project.engine, "dynamodb", "list_tables", "TableNames"),
    "API": lambda project: found(project.engine, "apigatewayv2", "get_apis", "Items"),
    "function": lambda project: found(project.engine, "lambda", "list_functions", "Functions"),
    "outputs": lambda project: published(project),
}


def works(project: Project) -> None:
    """Ask the stack, which has to answer rightly, and to stay published."""
    code = f"mine-{free_port()}"
    assert project.stack.shorten({**LINK, "code": code}).status_code == HTTPStatus.CREATED
    assert project.stack.follow(code).status_code == HTTPStatus.FOUND
    assert published(project)


def down_with_nobody_reading(project: Project) -> None:
    """Stop the engine with a down.sh whose output nobody reads, and that goes on to its end."""
    read, write = os.pipe()
    os.close(read)
    command = [project.folder / "scripts/down.sh"]
    with os.fdopen(write, "w") as nobody:
        done = subprocess.run(command, env=project.environment, stdout=nobody, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not answers(project.engine)


def end_a_start(project: Project, moment: str, ending: str) -> None:
    """Start the stack, and end that at a moment."""
    with session(project, "scripts/up.sh") as window:
        until(f"{moment} is there", lambda: MOMENTS[moment](project), look_every=0.005)
        match ending:
            case "Ctrl-C":
                assert window.interrupt() != 0 or moment == "outputs"
                if moment != "outputs":
                    until("no engine is left", lambda: StateDir(project.state).running() is None)
                    assert not published(project)
            case "down.sh":
                down_with_nobody_reading(project)
                assert StateDir(project.state).running() is None
                assert not published(project)
            case "kill the engine":
                os.kill(project.pid(), signal.SIGKILL)
            case "kill everything":
                os.killpg(window.process.pid, signal.SIGKILL)  # not the engine, which goes on
        window.process.wait(60)
    assert "Traceback" not in window.printed


@pytest.mark.search
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("ending", ["Ctrl-C", "down.sh", "kill the engine", "kill everything"])
def test_a_start_that_is_ended_at_any_moment_is_followed_by_one_that_works(
    project: Project, moment: str, ending: str
) -> None:
    project.settings["DOCKER_HOST"] = NO_DOCKER
    end_a_start(project, moment, ending)
    project.up()
    works(project)
    if ending == "kill everything":
        assert re.search(r"\d+ \d+", (project.state / "engine.lock").read_text())
    project.down()
    assert not published(project)


# One engine at a time


ASK_ON_AND_ON = """
import sys, time; from pathlib import Path; from stack.engine.folder import StateDir
while True:
    StateDir(Path(sys.argv[1])).running()
    time.sleep(0.001)
"""
ASK_SLOWLY = """
import fcntl, sys, time  # as a status.sh that the machine stops for a moment just when it looks
while True:
    with open(sys.argv[1] + "/engine.lock", "a+") as lock:
        try: fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError: pass
        time.sleep(0.1)
    time.sleep(0.03)
"""


def test_asking_who_runs_never_disturbs_a_start(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.claim()
    loops = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=CHECKOUT) for code in (ASK_ON_AND_ON, ASK_SLOWLY)
    ]
    try:
        until("it is asked slowly", (tmp_path / "engine.lock").exists)
        for _ in range(3):
            with state.lock() as engine:  # what a start does, and then its engine
                os.write(engine, b"4711 4566\n")
                for _ in range(15):  # longer than each of those who ask takes
                    assert state.running() == Running(4711, 4566)
                    time.sleep(0.01)
            for _ in range(15):
                assert state.running() is None
                time.sleep(0.01)
        assert [loop.poll() for loop in loops] == [None, None]
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_up_says_in_eight_lines_what_is_up_and_how_to_call_it(kept: Project) -> None:
    printed = kept.check("scripts/up.sh", LOCALSTACK_AUTH_TOKEN="ls-token")
    assert printed.splitlines()[0].endswith(", embedded (ENGINE=embedded)")
    assert "warning: LocalStack needs Docker, so LOCALSTACK_AUTH_TOKEN is not used" in printed
    assert "warning: JWT_SECRET" not in printed
    said = printed[printed.index("\nThe page is up") :].strip().splitlines()
    assert said[:3] == [
        f"The page is up: {kept.stack.url}/",
        "scripts/open.sh opens it, signed in",
        f"The API is up: {kept.stack.url}",
    ]
    assert jwt.decode(said[4], kept.stack.secret, algorithms=["HS256"])["sub"] == "user-1"
    assert len(said) <= 8
    for script in ("smoke.sh", "dev.sh", "down.sh"):
        assert f"scripts/{script}" in said[-1]
    command = printed[printed.index("curl ") :].partition("\n\n")[0]
    answer = subprocess.run(
        ["bash", "-c", command], cwd=kept.folder, env=kept.environment, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout)["long_url"] == "https://example.com/"


def test_outputs_of_another_stack_that_is_up_are_left_to_it(running: Project) -> None:
    url = running.stack.url
    other = Project.at(running.folder, running.folder.parent / "other", OUTPUTS_DIR=str(running.outputs))
    line = refusal(other, "scripts/up.sh")
    assert f"OUTPUTS_DIR {running.outputs} is used by the stack on port {running.settings['HOST_PORT']}" in line
    other.down("--wipe")
    assert running.stack.url == url


def test_an_engine_on_another_port_is_named(running: Project) -> None:
    for command in (["scripts/up.sh"], ["scripts/down.sh", "--wipe"]):
        line = refusal(running, *command, HOST_PORT=str(free_port()))
        assert f"is running on port {running.settings['HOST_PORT']}" in line
    assert running.stack.follow("nobody's").status_code == HTTPStatus.NOT_FOUND


def test_engine_limits_down_to_that_engine(running: Project) -> None:
    printed = running.check("scripts/down.sh", "--wipe", ENGINE="docker")
    assert f"still listens on port {running.settings['HOST_PORT']}: with ENGINE=docker this stops no other" in printed
    assert answers(running.engine)


def test_a_build_waits_for_one_that_a_killed_engine_left(
    running: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**running.settings, "GATEWAY_PORT": running.settings["HOST_PORT"]}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["stack.deploy", "--local"])
    printed: list[str] = []

    def shows(text: str) -> bool:
        printed.append(capsys.readouterr().out)
        return text in "".join(printed)

    with ThreadPoolExecutor() as pool:
        with outputs.turn(running.outputs):
            build = pool.submit(deploy.main)
            until("the table is built", lambda: shows("table       shortlinks"))
            with pytest.raises(TimeoutError):
                build.result(1)
            assert not shows("function  ")
        assert build.result(60) == 0
    assert shows("function  ")


# What it leaves


def test_a_full_disk_is_named(running: Project) -> None:
    with small_disk("1m") as full:
        if full is None:
            pytest.skip("only root on Linux may mount a small disk")
        fill(full)
        with pytest.raises(DeployError, match=r"^STATE_DIR .* \(No space left on device: .*\): free some space"):
            StateDir(full / "all").claim()
        error = builds.run(running, settings={"OUTPUTS_DIR": str(full / "all")}).error
        assert re.search(r"^the outputs folder .* \(No space left on device\): free some space .*OUTPUTS_DIR", error)
        assert list((full / "all").iterdir()) == []


def stop_on_a_full_disk(running: Project, disk: Path) -> int:
    """Fill the disk, follow the link "before" until no click is counted any more, and stop; return its clicks."""
    stack = running.stack
    fill(disk)

    def counts_a_click() -> bool:
        before = stack.clicks("before")
        assert stack.follow("before").status_code == HTTPStatus.FOUND
        return stack.clicks("before") > before

    try:
        until("the journal's last block is full", lambda: not counts_a_click())
        counted = stack.clicks("before")
        new = {"long_url": f"https://example.com/{'x' * 1000}", "code": "new"}
        assert stack.shorten(new).status_code == HTTPStatus.INTERNAL_SERVER_ERROR
        healthy, printed = builds.status(running)
        assert not healthy
        assert "cannot be written to (No space left on device): writes are refused" in printed
        (line,) = [line for line in printed.splitlines() if "the click is not counted" in line]
        assert "No space left on device" in line
        line = refusal(running, "scripts/down.sh")
        assert "the engine has stopped, but not everything could be saved" in line
        assert "No space left on device" in line
        (running.outputs / "api_id").write_text("of a killed engine\n")
        assert "is full" in refusal(running, "scripts/up.sh")
        assert not published(running)
    finally:
        (disk / "filler").unlink()
    return counted


@pytest.mark.long
def test_a_full_disk_and_starts_that_are_ended_lose_nothing_and_two_starts_at_once_work(
    running: Project, disk: Path | None
) -> None:
    """The starts find the state of an earlier version, and files of somebody else beside it."""
    running.stack.shorten({**LINK, "code": "before"})
    if disk:
        counted = stop_on_a_full_disk(running, disk)
    else:
        running.down()
        counted = 0
    (running.state / ".shortener").unlink()
    mine = files_of_the_users(running)
    foreign = {"notes.txt", ".api_id.backup", "api_id.old"}
    for name in foreign:
        (running.outputs / name).write_text("x")

    end_a_start(running, "started", "Ctrl-C")
    for name in (".api_id.4711", ".api_url.12"):  # drafts of ours
        (running.outputs / name).write_text("x")
    end_a_start(running, "table", "down.sh")
    assert {path.name for path in running.outputs.iterdir()} == foreign
    end_a_start(running, "serving", "kill everything")
    assert re.search(r"\d+ \d+", (running.state / "engine.lock").read_text())
    os.kill(running.pid(), signal.SIGINT)  # both wait for the end of this engine
    with ThreadPoolExecutor() as windows:
        ended = [*windows.map(lambda _: running.run("scripts/up.sh"), range(2))]
    assert [done.returncode for done in ended] == [0, 0], ended
    works(running)
    assert running.stack.clicks("before") == counted
    assert running.stack.row("new") is None
    assert running.stack.follow("before").status_code == HTTPStatus.FOUND
    assert [path.read_text() for path in mine] == ["mine"] * len(mine)


def files_of_the_users(project: Project) -> list[Path]:
    """Put files of somebody else into the engine's folders."""
    mine = [
        project.state / name for name in ("tmp/draft.txt", "tmp/project/a.py", "data/notes.json", "data/thesis.txt")
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    return mine


def test_after_a_kill_nobody_claims_that_it_is_up_and_a_wipe_leaves_the_users_files(running: Project) -> None:
    mine = files_of_the_users(running)
    running.kill()
    assert published(running)  # nobody was there to withdraw them
    healthy, printed = builds.status(running)
    assert not healthy
    assert "healthy" not in printed
    done = running.run("scripts/smoke.sh")
    assert done.returncode == 1
    assert not re.search(r"^ok ", done.stdout, re.MULTILINE)
    running.down()
    assert not published(running)
    assert [path.read_text() for path in mine] == ["mine"] * len(mine)
    assert f"{mine[-1]} is not something that the engine made" in refusal(running, "scripts/down.sh", "--wipe")
    mine[-1].unlink()
    assert "the data of the embedded engine is wiped" in running.check("scripts/down.sh", "--wipe")
    assert not (running.state / "data/dynamodb").exists()
    assert mine[0].read_text() == "mine"

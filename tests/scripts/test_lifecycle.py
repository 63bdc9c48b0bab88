"""Start, stop and wipe the embedded engine: what is deleted, what is said, and that the stack comes back."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from project import CHECKOUT, DEFAULTS, Project, Stack, answers, aws, free_port, until
from session import session
from stack import outputs
from stack.engine.folder import StateDir

LINK = {"long_url": "https://example.com/", "code": "kept"}
NO_DOCKER = "tcp://127.0.0.1:1"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Project]:
    """A copy of the checkout with nothing running, and no Docker engine in sight."""
    project = Project.copy(tmp_path, DOCKER_HOST=NO_DOCKER)
    yield project
    project.run("scripts/down.sh")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose engine the tests start and stop as they like; it is not running before or after each."""
    project = Project.copy(tmp_path_factory.mktemp("kept"), DOCKER_HOST=NO_DOCKER)
    yield project
    project.run("scripts/down.sh")


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
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_state_dir_that_is_not_the_engines_is_refused_and_left_as_it_is(bare: Project, what: str) -> None:
    home = bare.folder.parent / "home"
    for name in ("data", "tmp", "project/data", "project/tmp", "empty"):
        (home / name).mkdir(parents=True)
    for name in ("data/thesis.txt", "tmp/draft.txt", "notes.txt", "project/data/a.json", "project/tmp/b"):
        (home / name).write_text("mine")
    (home / "link").symlink_to(home / "empty")
    before = tree(home)
    state = str(FOREIGN[what](home))
    for command in (["scripts/down.sh", "--wipe"], ["scripts/up.sh"]):
        assert f"STATE_DIR {state} " in refusal(bare, *command, STATE_DIR=state)
        assert tree(home) == before
    assert bare.check("scripts/down.sh", STATE_DIR=state) == "==> down\n"
    assert tree(home) == before


def test_the_root_folder_is_refused(bare: Project) -> None:
    assert "STATE_DIR / has things in it" in refusal(bare, "scripts/down.sh", "--wipe", STATE_DIR="/")
    assert "STATE_DIR / has things in it" in refusal(bare, "scripts/up.sh", STATE_DIR="/")


def earlier_version(folder: Path) -> None:
    """Make the folder as the project made it before it had a marker."""
    for name in ("data", "tmp/ministack-lambda-1"):
        (folder / name).mkdir(parents=True)
    (folder / "data/dynamodb.json").write_text("{}")
    (folder / "engine.log").touch()
    (folder / "engine.lock").write_text("99999999 4566\n")


def test_wipe_deletes_the_data_of_an_earlier_version(bare: Project) -> None:
    earlier_version(bare.state)
    assert "the data of the embedded engine is wiped" in bare.check("scripts/down.sh", "--wipe")
    assert not (bare.state / "data").exists()


def test_an_empty_state_dir_setting_is_the_default_one(bare: Project) -> None:
    earlier_version(bare.folder / ".state")
    printed = bare.check("scripts/down.sh", "--wipe", STATE_DIR="")
    assert f"the data of the embedded engine is wiped ({bare.folder / '.state/data'})" in printed
    assert not (bare.folder / ".state/data").exists()


def test_wipe_follows_no_symlink_and_keeps_what_it_does_not_know(bare: Project) -> None:
    precious = bare.folder.parent / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    earlier_version(bare.state)
    bare.check("scripts/down.sh", "--wipe")
    (bare.state / "notes.txt").write_text("mine")
    (bare.state / "data/dynamodb").mkdir(parents=True)
    (bare.state / "data/dynamodb/link").symlink_to(precious)
    bare.check("scripts/down.sh", "--wipe")
    assert (bare.state / "notes.txt").read_text() == "mine"
    for name, script in (("data", "--wipe"), ("tmp", "--wipe"), ("tmp", "")):
        (bare.state / name).symlink_to(precious)
        command = ["scripts/down.sh", "--wipe"] if script else ["scripts/up.sh"]
        assert f"{bare.state / name} is not a folder that the engine made" in refusal(bare, *command)
        (bare.state / name).unlink()
    assert tree(precious) == {"thesis.txt": "mine"}


def test_files_of_the_users_in_the_engines_folders_are_left(bare: Project) -> None:
    bare.up()
    bare.down()
    mine = [bare.state / name for name in ("tmp/draft.txt", "tmp/project/a.py", "data/notes.json", "data/thesis.txt")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    for end in (bare.down, bare.kill):
        bare.up()
        end()
        assert [path.read_text() for path in mine] == ["mine"] * len(mine)
    assert f"{bare.state / 'data/thesis.txt'} is not something that the engine made" in refusal(
        bare, "scripts/down.sh", "--wipe"
    )
    (bare.state / "data/thesis.txt").unlink()
    bare.check("scripts/down.sh", "--wipe")
    assert not (bare.state / "data/dynamodb").exists()
    assert (bare.state / "tmp/draft.txt").read_text() == "mine"


def test_of_the_outputs_only_our_own_files_are_removed(kept: Project) -> None:
    ours, foreign = (".api_id.4711", ".api_url.12"), ("notes.txt", ".api_id.backup", "api_id.old")
    kept.up()
    for name in (*ours, *foreign):
        (kept.outputs / name).write_text("x")
    kept.down()
    assert {path.name for path in kept.outputs.iterdir()} == set(foreign)
    for name in foreign:
        (kept.outputs / name).unlink()


# What is said


def test_wipe_says_what_it_did(kept: Project) -> None:
    kept.up()
    kept.down()
    assert "the data of the embedded engine is wiped" in kept.check("scripts/down.sh", "--wipe")
    assert "wiped" not in kept.check("scripts/down.sh", "--wipe")


@pytest.mark.parametrize("engine", ["", "docker"])
def test_wipe_without_docker_says_that_a_volume_may_be_left(bare: Project, engine: str) -> None:
    printed = bare.check("scripts/down.sh", "--wipe", ENGINE=engine)
    assert re.search(r"^==> warning: .*: a Docker volume may still hold links of this stack", printed, re.MULTILINE)
    assert "wiped" not in printed
    assert "no data" not in printed


def test_engine_limits_down_to_that_engine(kept: Project) -> None:
    kept.up()
    printed = kept.check("scripts/down.sh", "--wipe", ENGINE="docker")
    assert f"still listens on port {kept.settings['HOST_PORT']}: with ENGINE=docker this stops no other" in printed
    assert answers(kept.engine)
    kept.down()
    assert "the data of the embedded engine is wiped" in kept.check("scripts/down.sh", "--wipe", ENGINE="embedded")


def test_down_goes_on_to_its_end_when_nobody_reads_what_it_says(kept: Project) -> None:
    kept.up()
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as nobody:
        done = subprocess.run(
            ["scripts/down.sh"], cwd=kept.folder, env=kept.environment, stdout=nobody, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert not answers(kept.engine)


@pytest.mark.parametrize("script", ["scripts/up.sh", "scripts/down.sh"])
def test_an_unknown_engine_is_refused_with_the_choices(bare: Project, script: str) -> None:
    assert refusal(bare, script, ENGINE="dcoker") == "error: ENGINE is 'dcoker': use docker or embedded"


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
def test_up_says_why_it_does_not_use_docker(bare: Project, case: str) -> None:
    version, compose, reason = DOCKERS[case]
    path = docker_that(bare.folder.parent, version, compose)
    line = refusal(bare, "scripts/up.sh", ENGINE="docker", PATH=path)
    assert line == f"error: {reason}: fix that, or use ENGINE=embedded scripts/up.sh"
    (bare.folder / "lambdas/redirect/handler.py").write_text("def f(:\n")  # the first line is all that is asked for
    done = bare.run("scripts/up.sh", ENGINE="", PATH=path)
    release = DEFAULTS["MINISTACK_IMAGE"].partition(":")[2]
    assert done.stdout.splitlines()[0] == f"==> MiniStack {release}, embedded ({reason})"
    bare.down()


def test_up_ends_with_what_is_next_in_eight_lines(kept: Project) -> None:
    printed = kept.check("scripts/up.sh")
    assert printed.splitlines()[0].endswith(", embedded (ENGINE=embedded)")
    end = printed[printed.index("\nThe API is up: ") :].splitlines()
    assert len(end) <= 8
    for script in ("smoke.sh", "dev.sh", "down.sh"):
        assert f"scripts/{script}" in end[-1]
    kept.down()


# What keeps it from starting


def test_a_port_in_use_is_named_with_a_way_out(bare: Project) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", int(bare.settings["HOST_PORT"])))
        busy.listen()
        assert f"error: port {bare.settings['HOST_PORT']} cannot be used" in refusal(bare, "scripts/up.sh")
        assert "still listens on port" in bare.check("scripts/down.sh")


@pytest.mark.parametrize("name", ["STATE_DIR", "OUTPUTS_DIR"])
def test_a_folder_that_cannot_be_made_is_named(bare: Project, name: str) -> None:
    (bare.folder.parent / "file").touch()
    line = refusal(bare, "scripts/up.sh", **{name: str(bare.folder.parent / "file/folder")})
    assert f"error: {name} {bare.folder.parent / 'file/folder'} " in line
    assert not answers(bare.engine)


@contextlib.contextmanager
def small_disk(size: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("only root on Linux may mount a small disk")
    try:
        (folder / "all").mkdir()
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def fill(disk: Path) -> None:
    """Leave no byte, whatever else is being written."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.fixture
def full_disk() -> Iterator[Path]:
    """A disk of one megabyte, all of it used."""
    with small_disk("1m") as disk:
        fill(disk)
        yield disk


@pytest.mark.parametrize("name", ["STATE_DIR", "OUTPUTS_DIR"])
def test_a_full_disk_is_named(project: Project, full_disk: Path, name: str) -> None:
    folder = full_disk / "all"
    project.settings[name] = str(folder)
    done = project.run("scripts/up.sh")
    assert done.returncode == 1
    assert re.search(rf"^error: .*{name}", done.stdout + done.stderr, re.MULTILINE), done
    assert re.search("(No space left on device|is full)", done.stdout + done.stderr)
    assert "free some space" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not published(project)
    project.down()


def test_links_are_followed_on_a_disk_that_has_become_full(project: Project) -> None:
    with small_disk("64m") as disk:
        project.settings["STATE_DIR"] = str(disk / "all")
        stack = project.up()
        stack.shorten(LINK)
        fill(disk)

        def counts_a_click() -> bool:
            before = stack.clicks("kept")
            assert stack.follow("kept").status_code == HTTPStatus.FOUND
            return stack.clicks("kept") > before

        until("the journal's last block is full", lambda: not counts_a_click())
        counted = stack.clicks("kept")
        new = {"long_url": f"https://example.com/{'x' * 1000}", "code": "new"}
        assert stack.shorten(new).status_code == HTTPStatus.INTERNAL_SERVER_ERROR
        status = project.run("scripts/status.sh")
        assert status.returncode == 1
        assert "cannot be written to (No space left on device): writes are refused" in status.stdout
        (line,) = [line for line in status.stdout.splitlines() if "the click is not counted" in line]
        assert "No space left on device" in line
        line = refusal(project, "scripts/down.sh")
        assert "the engine has stopped, but not everything could be saved" in line
        assert "No space left on device" in line
        (project.outputs / "api_id").write_text("of a killed engine\n")
        assert "is full" in refusal(project, "scripts/up.sh")
        assert not published(project)
        (disk / "filler").unlink()
        stack = project.up()
        assert stack.clicks("kept") == counted
        assert stack.row("new") is None
        assert stack.follow("kept").status_code == HTTPStatus.FOUND
        project.down()


def test_folders_with_spaces_and_quotes_work(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "test" $HOME ü'
    folder.mkdir()
    project = Project.copy(folder)
    try:
        assert project.up().shorten(LINK).status_code == HTTPStatus.CREATED
        project.down()
        assert project.up().follow("kept").status_code == HTTPStatus.FOUND
    finally:
        project.down("--wipe")
    assert not (project.state / "data").exists()


# One engine at a time


ASK_ON_AND_ON = """
import sys; from pathlib import Path; from stack.engine.folder import StateDir
while True: StateDir(Path(sys.argv[1])).running()
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


def test_asking_who_runs_never_disturbs_a_start(kept: Project) -> None:
    kept.up()
    kept.down()
    loops = [
        subprocess.Popen([sys.executable, "-c", code, kept.state], cwd=CHECKOUT) for code in (ASK_ON_AND_ON, ASK_SLOWLY)
    ]
    try:
        for _ in range(4):
            kept.up()
            assert StateDir(kept.state).running() is not None
            assert kept.run("scripts/status.sh").returncode == 0
            kept.down()
            assert StateDir(kept.state).running() is None
        assert [loop.poll() for loop in loops] == [None, None]
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_up_waits_for_an_engine_that_is_being_stopped(bare: Project) -> None:
    bare.up()
    for _ in range(3):
        os.kill(bare.pid(), signal.SIGTERM)
        assert bare.up().shorten({"long_url": LINK["long_url"]}).status_code == HTTPStatus.CREATED


def test_damaged_state_is_named_once(bare: Project) -> None:
    bare.up()
    bare.down()
    saved = bare.state / "data/iam.json"
    saved.write_text("{")
    done = bare.run("scripts/up.sh")
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count(str(saved)) == 1
    assert "==> ready" not in done.stdout
    saved.unlink()


def test_two_at_once_start_one_engine(bare: Project) -> None:
    windows: list[subprocess.CompletedProcess[str]] = []
    threads = [threading.Thread(target=lambda: windows.append(bare.run("scripts/up.sh"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert [done.returncode for done in windows] == [0, 0, 0], windows
        created = [done for done in windows if re.search(r"^  table .* created ", done.stdout, re.MULTILINE)]
        assert len(created) == 1
        assert bare.stack.shorten(LINK).status_code == HTTPStatus.CREATED
    finally:
        bare.down()
    until("nothing is left of any engine", lambda: not answers(bare.engine))


def test_outputs_of_another_stack_that_is_up_are_left_to_it(kept: Project) -> None:
    stack = kept.up()
    other = Project.at(kept.folder, kept.folder.parent / "other", OUTPUTS_DIR=str(kept.outputs))
    other.settings["DOCKER_HOST"] = NO_DOCKER
    try:
        line = refusal(other, "scripts/up.sh")
        assert f"OUTPUTS_DIR {kept.outputs} is used by the stack on port {kept.settings['HOST_PORT']}" in line
        other.down()
        other.down("--wipe")
        assert kept.stack.url == stack.url
    finally:
        kept.down()
    assert not published(kept)


def test_an_engine_on_another_port_is_named(kept: Project) -> None:
    kept.up()
    try:
        line = refusal(kept, "scripts/up.sh", HOST_PORT=str(free_port()))
        assert f"is running on port {kept.settings['HOST_PORT']}" in line
    finally:
        kept.down()


# When the outputs go, and how it comes back


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_outputs_go_when_the_engine_is_told_to_stop(kept: Project, ending: signal.Signals) -> None:
    stack = kept.up()
    code = f"until-{ending.name.lower()}"
    stack.shorten({**LINK, "code": code})
    os.kill(kept.pid(), ending)
    until("the engine is gone", lambda: StateDir(kept.state).running() is None)
    assert not published(kept)
    assert kept.up().follow(code).status_code == HTTPStatus.FOUND
    kept.down()


def test_after_a_kill_nobody_claims_that_it_is_up(kept: Project) -> None:
    kept.up()
    kept.kill()
    assert published(kept)  # nobody was there to withdraw them
    for script in ("scripts/status.sh", "scripts/smoke.sh"):
        done = kept.run(script)
        assert done.returncode == 1
        assert "healthy" not in done.stdout
        assert not re.search(r"^ok ", done.stdout, re.MULTILINE)
    (kept.folder / "lambdas/redirect/handler.py").rename(kept.folder / "handler.py")
    assert kept.run("scripts/up.sh").returncode == 1
    assert not published(kept)  # they went when the engine booted
    (kept.folder / "handler.py").rename(kept.folder / "lambdas/redirect/handler.py")
    kept.up()
    kept.kill()
    kept.down()
    assert not published(kept)


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


def comes_back(project: Project) -> Stack:
    """Bring the stack up and return it; it has to answer rightly, and to stay published."""
    stack = project.up()
    code = f"mine-{free_port()}"
    assert stack.shorten({**LINK, "code": code}).status_code == HTTPStatus.CREATED
    assert stack.follow(code).status_code == HTTPStatus.FOUND
    assert published(project)
    return stack


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("ending", ["Ctrl-C", "down.sh", "kill the engine", "kill everything"])
def test_a_start_that_is_ended_at_any_moment_is_followed_by_one_that_works(
    project: Project, moment: str, ending: str
) -> None:
    project.settings["DOCKER_HOST"] = NO_DOCKER
    with session(project, "scripts/up.sh") as window:
        until(f"{moment} is there", lambda: MOMENTS[moment](project), look_every=0.005)
        match ending:
            case "Ctrl-C":
                assert window.interrupt() != 0 or moment == "outputs"
                if moment != "outputs":
                    until("no engine is left", lambda: StateDir(project.state).running() is None)
                    assert not published(project)
            case "down.sh":
                project.down()
                assert StateDir(project.state).running() is None
                assert not published(project)
            case "kill the engine":
                os.kill(project.pid(), signal.SIGKILL)
            case "kill everything":
                os.killpg(window.process.pid, signal.SIGKILL)  # not the engine, which goes on
        window.process.wait(60)
    assert "Traceback" not in window.printed
    comes_back(project)
    if ending == "kill everything":
        assert re.search(r"\d+ \d+", (project.state / "engine.lock").read_text())
    project.down()
    assert not published(project)


def test_a_build_waits_for_one_that_a_killed_engine_left(kept: Project) -> None:
    kept.up()
    try:
        with outputs.turn(kept.outputs):
            build = subprocess.Popen([kept.folder / "scripts/up.sh"], env=kept.environment, stdout=subprocess.PIPE)
            with pytest.raises(subprocess.TimeoutExpired):
                build.communicate(timeout=5)
        build.communicate()
        assert build.returncode == 0
    finally:
        kept.down()


def test_an_earlier_versions_state_is_taken_over(kept: Project) -> None:
    kept.up().shorten({**LINK, "code": "before"})
    kept.down()
    (kept.state / ".shortener").unlink()
    shutil.rmtree(kept.state / "tmp")
    assert kept.up().follow("before").status_code == HTTPStatus.FOUND
    kept.down()

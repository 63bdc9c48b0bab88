"""Tell what functions ask for from what clients do, by the process at the other end of a connection."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def ports_of_functions(ports: Iterable[int], server: int) -> set[int]:
    """Return those of the clients' ports that a process below this one has; none where there is no /proc."""
    sockets = dict(_sockets(set(ports), server))
    if not sockets:
        return set()
    return {sockets[link] for pid in _below(os.getpid()) for link in _open(pid) if link in sockets}


def _sockets(ports: set[int], server: int) -> Iterable[tuple[str, int]]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "self/net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, remote, *_, inode = line.split()[:10]
            port = int(local.rpartition(":")[2], 16)
            if port in ports and int(remote.rpartition(":")[2], 16) == server:
                yield f"socket:[{inode}]", port


def _below(pid: int) -> Iterable[int]:
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = children.get(pid, [])
    for one in found:
        found += children.get(one, [])
    return found


def _open(pid: int) -> Iterable[str]:
    with contextlib.suppress(OSError):  # it has just ended
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):  # it has just been closed
                yield str(entry.readlink())

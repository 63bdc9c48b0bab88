"""The embedded engine: MiniStack from PyPI, with the hooks of this checkout.

MiniStack looks for hooks where an image has them, under /etc/localstack/init. Without Docker
that folder is not ours to write, so the one function that lists hooks is pointed at init/.
"""

import fcntl
import os
import sys
from pathlib import Path

from ministack import app as ministack

IN_IMAGE = "/etc/localstack/init"
HERE = str(Path(__file__).resolve().parent.parent.parent / "init")


def main(lock_file: str) -> None:
    """Serve until SIGTERM, holding a lock on ``lock_file``, which then has this process's ID in it."""
    lock = Path(lock_file).open("r+")  # noqa: SIM115 # it stays open, and so locked, while this process lives
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("error: the engine of this STATE_DIR is running already")
    lock.truncate(0)
    lock.write(f"{os.getpid()} {os.environ['GATEWAY_PORT']}\n")
    lock.flush()
    list_hooks = ministack._collect_scripts
    ministack._collect_scripts = lambda *folders: list_hooks(*(one.replace(IN_IMAGE, HERE) for one in folders))
    ministack.main()


if __name__ == "__main__":
    main(sys.argv.pop())  # MiniStack reads what is left, which is nothing

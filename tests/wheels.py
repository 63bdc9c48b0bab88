"""Wheels made on the spot, for tests whose packages must not come from the network."""

import zipfile
from collections.abc import Mapping
from pathlib import Path


def make(
    folder: Path, name: str, files: Mapping[str, str | bytes], requires: tuple[str, ...] = (), tag: str = "py3-none-any"
) -> None:
    """Put the wheel of package ``name``, version 1.0, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    tags = "".join(f"Tag: {tag.rsplit('-', 1)[0]}-{one}\n" for one in tag.rsplit("-", 1)[1].split("."))
    root_is_purelib = str(tag.endswith("-any")).lower()
    members = {
        **files,
        f"{about}/METADATA": metadata,
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {root_is_purelib}\n{tags}",
        f"{about}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w", zipfile.ZIP_DEFLATED) as file:
        for path, content in members.items():
            file.writestr(path, content)
        file.writestr(f"{about}/RECORD", "".join(f"{path},,\n" for path in [*members, f"{about}/RECORD"]))


def only(folder: Path) -> dict[str, str]:
    """Return pip's settings with which it takes packages from this folder alone."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}

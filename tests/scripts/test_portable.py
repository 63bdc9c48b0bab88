"""The scripts keep to what bash 3.2 and the BSD tools of macOS have, and the README's commands to what zsh has too."""

import re

from project import CHECKOUT

# What Linux has and macOS has not, or understands otherwise; the tests' own Docker engine is Linux's alone.
GNU_ONLY = {
    "sed -i": r"\bsed\b[^|\n]* -i",
    "sed -r": r"\bsed\b[^|\n]* (-\w*r|--\w)",
    "grep -P": r"\bgrep\b[^|\n]* -\w*P",
    "date -d, %N": r"\bdate\b[^|\n]*( -d| --date|%N)",
    "stat -c": r"\bstat\b[^|\n]* (-c|--format)",
    "readlink -f": r"\breadlink\b[^|\n]* -\w*[fem]",
    "realpath": r"\brealpath\b",
    "head -n -1": r"\bhead\b[^|\n]* -n ?-",
    "sort -V": r"\bsort\b[^|\n]* -\w*[Vh]",
    "xargs -r, -d": r"\bxargs\b[^|\n]* -\w*[rd]\b",
    "base64 -w, -d": r"\bbase64\b[^|\n]* -\w*[wd]",
    "mktemp --": r"\bmktemp\b[^|\n]* --",
    "cp -t, --": r"\b(cp|mv|ln|rm|mkdir|chmod|ls|du|wc|tail|touch|tee|cut|tr)\b +(-\w+ +)*--\w",
    "timeout": r"(^|[|;&(] *)timeout +[\d-]",
    "flock, setsid, nproc, tac, shuf, seq -w": r"(^|[|;&(] *)(flock|setsid|nproc|tac|shuf|ip|ss|free) ",
    "ps --": r"(^|[|;&(] *)ps +--",
    "bash 4: associative arrays": r"\b(declare|local|typeset) -\w*A",
    "bash 4: mapfile": r"\b(mapfile|readarray)\b",
    "bash 4: case of a variable": r"\$\{\w+(\^|,)",
    "bash 4: &>>, |&": r"&>>|\|&",
    "bash 4.2: negative index": r"\$\{\w+\[-\d",
    "bash 5: EPOCHSECONDS": r"\bEPOCH(SECONDS|REALTIME)\b",
}
SCRIPTS = sorted(
    path.relative_to(CHECKOUT) for folder in ("scripts", "init", "bench") for path in (CHECKOUT / folder).rglob("*.sh")
)


def test_no_script_has_a_gnu_only_option() -> None:
    for script in SCRIPTS:
        code = re.sub(r"(^|\s)#.*", "", (CHECKOUT / script).read_text(), flags=re.MULTILINE)
        assert [what for what, pattern in GNU_ONLY.items() if re.search(pattern, code, re.MULTILINE)] == [], script

"""Known vulnerabilities of the pinned packages: `make audit`.

    python audit.py REQUIREMENTS

Exit code 1 if there are any; 0 if there are none or if no database can be asked from here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main(requirements: str) -> int:
    """Ask the database of the package index about every pin, and tell what it says."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--format=json"]
    command += ["--progress-spinner=off", f"--requirement={requirements}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:  # it ends with a traceback where there is no network
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        sys.stdout.write(f"no audit: the database cannot be asked from here ({reason[:120]})\n")
        return 0
    code, lines = summary(report)
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def summary(report: dict[str, Any]) -> tuple[int, list[str]]:
    """Exit code and lines to tell of a report of pip-audit in JSON."""
    packages = report["dependencies"]
    asked = [package for package in packages if "skip_reason" not in package]
    if not asked:
        return 0, ["no audit: the index that is used here knows nothing of vulnerabilities"]
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version yet'}"
        for package in asked
        for found in package["vulns"]
    ]
    skipped = len(packages) - len(asked)
    told = f"{len(asked)} packages audited, {skipped} unknown, {len(lines)} vulnerabilities"
    return int(bool(lines)), [*lines, told]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

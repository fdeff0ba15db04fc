"""Write the golden files anew: what a report says of the runs in tests/report/golden. Read the diff before you commit.

python tools/regolden.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from edgett.report import facts, markdown, reports

FOLDER = Path(__file__).parent.parent / "tests" / "report" / "golden"


def rendered(run: Path) -> dict[str, str]:
    """The golden files of a run by their names."""
    report = reports.report(run)
    return {
        "report.md": markdown.document(report),
        "report.json": json.dumps(facts.document(report), indent=1) + "\n",
    }


def main() -> None:
    os.chdir(FOLDER)  # the commands in a report name the run
    for run in sorted(path.parent for path in Path().glob("*/run.json")):
        for name, text in rendered(run).items():
            (run / name).write_text(text)
            print(f"{run / name}: {len(text):,} characters")


if __name__ == "__main__":
    main()

"""Compares two result folders of the conformance suite: compare.py DIRECT THROUGH.

What differs between any two runs (times, ports, names of sessions, sealed states) is taken out
first, and so are the words in which a wrong host name is refused: the gateway refuses it in its own,
before the server hears of it. The status of that refusal is compared.
"""

import difflib
import json
import pathlib
import re
import sys

REFUSAL = re.compile(r'("statusCode": 421,\s*"body": )(null|"[^"]*"|\{.*?\n      \})', re.DOTALL)
VARIES = [
    (r'"timestamp": "[^"]*"', '"timestamp": ""'),
    (r"(127\.0\.0\.1|localhost):\d+(/mcp/\w+|/mcp)?", "SERVER"),
    (r'"(durationMs|elapsedMs|[a-zA-Z]*[tT]ime[a-zA-Z]*|delayMs)": [\d.]+', r'"\1": 0'),
    (r'"(sessionId|mcp-session-id|requestState)": "[^"]*"', r'"\1": ""'),
    (r'(subscriptionId"): \d+', r"\1: 0"),
]


def read(folder):
    results = {}
    for path in sorted(pathlib.Path(folder).glob("*/checks.json")):
        # Folders end with the time of the run.
        scenario = re.sub(r"-\d{4}-\d\d-\d\dT.*", "", path.parent.name)
        text = path.read_text()
        for varies, fixed in VARIES:
            text = re.sub(varies, fixed, text)
        results[scenario] = REFUSAL.sub(r"\1null", text)
    return results


direct, through = read(sys.argv[1]), read(sys.argv[2])
different = [name for name in sorted(direct | through) if direct.get(name) != through.get(name)]
for name in different:
    lines = (results.get(name, "").splitlines() for results in (direct, through))
    print("\n".join(difflib.unified_diff(*lines, f"{name}, direct", f"{name}, through", "", "", 1, "")))
statuses = [check["status"] for text in direct.values() for check in json.loads(text)]
passed = statuses.count("SUCCESS")
failed = statuses.count("FAILURE")
print(f"{len(direct)} scenarios, {len(different)} differ; {passed} checks pass and {failed} fail in both")
sys.exit(not direct or bool(different))

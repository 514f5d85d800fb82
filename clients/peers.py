"""Checks what stands in the record after clients of MCP and A2A ran.

Usage: peers.py RESCIND DATA-DIR KEY FILE…. The files say how each call of a tool, or message to an
agent, ended as its caller saw it; none may be missing, none too many, and none told otherwise. Uses
the program as a person would; exit code 1 with the reason if something is wrong.
"""

import collections
import json
import pathlib
import subprocess
import sys

rescind, data, key, *files = sys.argv[1:]


def ask(*arguments):
    command = [rescind, *arguments, "--json", "--data-dir", data]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"rescind {' '.join(arguments)}: {done.stderr.strip() or done.stdout[:500]}")
    return json.loads(done.stdout)


def need(true, why):
    if not true:
        sys.exit(why)


def contents(decision):
    return {each["field"]: each.get("text") for each in decision["contents"]}


def name_of(node):
    """The tool, or the words of the message."""
    if node["kind"] == "tool-call":
        return node["name"]
    asked = json.loads(contents(ask("show", node["id"])["decision"])["asked"])
    return "".join(part["text"] for part in asked["message"]["parts"])


ask("verify", "--full")
expected = {}
for file in files:
    expected |= json.loads(pathlib.Path(file).read_text())
found = collections.defaultdict(lambda: collections.defaultdict(list))
nodes = []
for run in ask("runs", "--limit", "10000")["runs"]:
    nodes += [node for node in ask("graph", run["id"])["nodes"] if node["run"] == run["id"]]
for node in nodes:
    found[node["agent"]][name_of(node)].append(node["status"])
for agent in sorted(expected.keys() | found.keys()):
    calls, recorded = expected.get(agent, {}), found.get(agent, {})
    for name in sorted(calls.keys() | recorded.keys()):
        ended, stands = sorted(calls.get(name, [])), sorted(recorded.get(name, []))
        need(ended == stands, f"{agent}: `{name}` ended {ended} and stands as {stands}")

# What one call said, as it was said.
for node in nodes:
    if node["name"] == "cancel_order":
        kept = contents(ask("show", node["id"])["decision"])
        need(json.loads(kept["asked"]) == {"order": "W1"}, f"asked: {kept['asked']}")
        said = json.loads(kept["result"])["content"][0]["text"]
        need(said == "Order W1 is cancelled.", f"result: {said}")
        need("tool.definition" in kept["environment"], "the tool's own description is kept")

for path in pathlib.Path(data).rglob("*"):
    if path.is_file():
        need(key.encode() not in path.read_bytes(), f"{path} holds a key")
print(f"{len(nodes)} calls and messages of {len(expected)} clients stand as they ended, verified, no key")

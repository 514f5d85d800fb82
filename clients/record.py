"""Checks what stands in the record after the clients ran.

Usage: record.py RESCIND DATA-DIR KEY. Uses the program as a person would; exit code 1 with the
reason if something is missing or too much.
"""

import collections
import json
import pathlib
import subprocess
import sys

rescind, data, key = sys.argv[1:]


def ask(*arguments):
    command = [rescind, *arguments, "--json", "--data-dir", data]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"rescind {' '.join(arguments)}: {done.stderr.strip() or done.stdout[:500]}")
    return json.loads(done.stdout)


def need(true, why):
    if not true:
        sys.exit(why)


def outcomes():
    """Status of every call, by the name of its model, which is the scenario."""
    found, nodes = collections.defaultdict(collections.Counter), {}
    for run in ask("runs", "--limit", "10000")["runs"]:
        for node in ask("graph", run["id"])["nodes"]:
            if node["run"] == run["id"]:
                nodes[node["id"]] = node
    for node in nodes.values():
        # What failed again and again made its model rest: verdicts of the gateway, no calls.
        if node["kind"] == "verdict":
            continue
        found[node["name"]][node["status"]] += 1
    return found, nodes


ask("verify", "--full")
statuses, nodes = outcomes()
FINE = {"plain", "calls", "image", "structured", "researcher", "writer"}
for name, counts in sorted(statuses.items()):
    expected = "succeeded" if name in FINE else "failed"
    need(set(counts) == {expected}, f"`{name}` should be {expected} in the record: {counts}")
missing = (FINE | {"eof", "cut", "half", "mark", "bare-error", "error", "malformed", "status-429",
                   "error-200", "cut-plain"}) - set(statuses)
need(not missing, f"not in the record: {missing}")

first, = (id for id, node in nodes.items() if node["name"] == "researcher")
second, = (id for id, node in nodes.items() if node["name"] == "writer")
need(nodes[first]["run"] != nodes[second]["run"], "nothing said that the two are one run")
need(nodes[first]["agent"] != nodes[second]["agent"], "the two agents are told apart")
edges = [(edge["cause"], edge["kind"], edge["strength"]) for edge in ask("graph", first)["edges"]
         if edge["effect"] == second]
need(edges == [(first, "message", "certain")], f"edges to the writer: {edges}")
blast = ask("blast", first)
reached = {step["id"] for step in blast["certain"]}
need(reached == {second}, f"what followed from the researcher: {blast}")

for path in pathlib.Path(data).rglob("*"):
    if path.is_file():
        need(key.encode() not in path.read_bytes(), f"{path} holds a key")
calls = sum(sum(counts.values()) for counts in statuses.values())
print(f"{calls} calls verified, each with its true status, one edge between the agents, no key")

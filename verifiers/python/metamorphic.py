"""Checks checkpoints and proofs of Rescind with `metamorphic-log`.

Usage: metamorphic.py CHECKS.json. Exit codes: 0 every check succeeded, 1 every check failed, 2 some
of each, or could not check.
"""

import hashlib
import json
import sys

import metamorphic_log


def run(check, vkeys):
    path = [bytes.fromhex(hash) for hash in check.get("path", [])]
    if check["kind"] == "checkpoint":
        metamorphic_log.checkpoint_verify(check["checkpoint"], vkeys)
    elif check["kind"] == "inclusion":
        leaf = hashlib.sha256(b"\0" + check["entry"].encode()).digest()
        metamorphic_log.checkpoint_verify_inclusion(
            check["checkpoint"], vkeys, check["index"], leaf, path
        )
    else:
        metamorphic_log.checkpoint_verify_consistency(
            check["older"], check["newer"], vkeys, path
        )


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        content = json.load(file)
    succeeded = failed = 0
    for check in content["checks"]:
        try:
            run(check, [content["vkey"]])
            succeeded += 1
        except metamorphic_log.VerifyError:
            failed += 1
    print(f"{succeeded} succeeded, {failed} failed")
    if not (succeeded or failed) or (succeeded and failed):
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:  # Nothing that is not an answer may pass for one.
        print(f"error: {error!r}", file=sys.stderr)
        sys.exit(2)

"""Checks COSE Receipts and RFC 9162 proofs of Rescind with `scitt-cose`.

It reads no signed notes: sizes and roots are taken from the text of the checkpoints, whose
signatures others check.

Usage: scitt.py CHECKS.json. Exit codes: 0 every check succeeded, 1 every check failed, 2 some of
each, or could not check.
"""

import base64
import json
import sys

import scitt_cose


def head(checkpoint):
    _, size, root, *_ = checkpoint.split("\n")
    return int(size), base64.b64decode(root, validate=True).hex()


def proof_holds(check):
    if check["kind"] == "inclusion":
        size, root = head(check["checkpoint"])
        entry = check["entry"].encode().hex()
        return scitt_cose.verify_inclusion(entry, check["index"], size, check["path"], root)
    (old, old_root), (new, new_root) = head(check["older"]), head(check["newer"])
    return scitt_cose.verify_consistency(old_root, new_root, old, new, check["path"])


def receipt_holds(check, pem):
    result = scitt_cose.verify_receipt(
        bytes.fromhex(check["receipt"]),
        leaf_entry_hex=check["entry"].encode().hex(),
        log_public_key_pem=pem,
    )
    if result.ok:
        read = (result.root, result.tree_size, result.leaf_index, result.issuer, result.subject)
        expected = tuple(check[name] for name in ("root", "size", "index", "issuer", "subject"))
        if read != expected:
            raise ValueError(f"read {read}, expected {expected}")
    return result.ok


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        content = json.load(file)
    proofs = [proof_holds(c) for c in content["checks"] if c["kind"] != "checkpoint"]
    receipts = [receipt_holds(c, content["pem"]) for c in content["receipts"]]
    for name, results in (("receipts", receipts), ("proofs", proofs)):
        if not results or len(set(results)) != 1:
            print(f"{results.count(True)} {name} succeeded, {results.count(False)} failed")
            return 2
    if receipts[0] != proofs[0]:
        print(f"receipts: {receipts[0]}, proofs: {proofs[0]}")
        return 2
    outcome = "succeeded" if receipts[0] else "failed"
    print(f"{len(receipts)} receipts and {len(proofs)} proofs {outcome}")
    return 0 if receipts[0] else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:  # Nothing that is not an answer may pass for one.
        print(f"error: {error!r}", file=sys.stderr)
        sys.exit(2)

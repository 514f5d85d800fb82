"""Checks a log of Rescind with `aics-tlog`: signature, witness quorum, every tile and bundle,
and proofs of inclusion and consistency.

Usage: aics.py LOG VKEY WITNESS-VKEY. Exit codes: 0 accepted, 1 something is wrong with the log,
2 could not check.
"""

import sys
from pathlib import Path

import aics_tlog


def check(log, vkey, witness):
    note = aics_tlog.parse_note((Path(log) / "checkpoint").read_bytes().decode())
    verified = aics_tlog.verify_checkpoint(
        note,
        aics_tlog.parse_vkey(vkey),
        [aics_tlog.parse_vkey(witness)],
        quorum=1,
        expected_origin=vkey.split("+")[0],
    )
    if not verified.ok:
        return f"the checkpoint is not signed: {verified.error}"
    head = aics_tlog.parse_checkpoint(note.text)
    reader = aics_tlog.FileSystemTileReader(log)
    try:
        report = aics_tlog.audit_tiles(reader, head.size, head.root)
    except (aics_tlog.TileVerificationError, aics_tlog.TileMissingError) as error:
        return str(error)
    for index in {0, head.size // 2, head.size - 1}:
        entry = aics_tlog.read_entry(reader, index, head.size)
        proof = aics_tlog.inclusion_proof_from_tiles(reader, index, head.size)
        if not aics_tlog.verify_leaf_inclusion(entry, index, head.size, proof, head.root):
            return f"entry {index} is not included"
    for old in (1, 2, 3, 255, 256, 257, 65536):
        if old <= head.size:
            proof = aics_tlog.consistency_proof_from_tiles(reader, old, head.size)
            root = aics_tlog.tree_root_from_tiles(reader, old, head.size)
            if not aics_tlog.verify_consistency(old, head.size, root, head.root, proof):
                return f"the tree does not continue that of size {old}"
    print(f"{report.tiles} tiles, {report.bundles} bundles")
    return None


def main():
    finding = check(*sys.argv[1:])
    if finding:
        print(finding)
    return 1 if finding else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:  # Nothing that is not an answer may pass for one.
        print(f"error: {error!r}", file=sys.stderr)
        sys.exit(2)

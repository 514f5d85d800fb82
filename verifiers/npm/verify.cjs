// Checks checkpoints and inclusion proofs of Rescind with the code of a Sigstore client.
//
// Usage: node verify.cjs MODULES CHECKS.json, where MODULES is the `node_modules` that holds
// @sigstore/verify. Exit codes: 0 every check succeeded, 1 every check failed, 2 some of each, or
// could not check. Checks of a kind that this client does not have are left out.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const [modules, file] = process.argv.slice(2);
const dist = path.resolve(modules, '@sigstore/verify/dist/tlog');
const { verifyCheckpoint } = require(path.join(dist, 'checkpoint.js'));
const { verifyMerkleInclusion } = require(path.join(dist, 'merkle.js'));

// The trusted log, from its key: `<name>+<id>+<base64(0x01 || public key)>`, where the base64 may
// hold plus signs itself.
function trustedLog(vkey) {
  const [, name, id, material] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey);
  const raw = Buffer.from(material, 'base64').subarray(1);
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]);
  return {
    logID: Buffer.from(id, 'hex'),
    baseURL: `https://${name}`,
    publicKey: crypto.createPublicKey({ key: spki, format: 'der', type: 'spki' }),
  };
}

const { vkey, checks } = JSON.parse(fs.readFileSync(file, 'utf8'));
const log = trustedLog(vkey);

const kinds = {
  checkpoint({ checkpoint }) {
    verifyCheckpoint({ inclusionProof: { checkpoint: { envelope: checkpoint } } }, [log]);
  },
  inclusion({ checkpoint, index, entry, path: hashes }) {
    const proven = {
      inclusionProof: {
        checkpoint: { envelope: checkpoint },
        logIndex: String(index),
        hashes: hashes.map((hash) => Buffer.from(hash, 'hex')),
      },
      canonicalizedBody: Buffer.from(entry, 'utf8'),
    };
    verifyMerkleInclusion(proven, verifyCheckpoint(proven, [log]));
  },
};

let succeeded = 0;
let failed = 0;
for (const check of checks.filter(({ kind }) => kind in kinds)) {
  try {
    kinds[check.kind](check);
    succeeded += 1;
  } catch (error) {
    // Only what the client itself says is an answer; anything else is a defect of this program.
    if (error.name !== 'VerificationError' && error.constructor.name !== 'VerificationError') {
      throw error;
    }
    failed += 1;
  }
}
console.log(`${succeeded} succeeded, ${failed} failed`);
process.exitCode = succeeded + failed === 0 ? 2 : failed === 0 ? 0 : succeeded === 0 ? 1 : 2;

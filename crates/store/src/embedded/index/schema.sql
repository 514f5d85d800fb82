CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE event (id BLOB NOT NULL PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE stream (id BLOB NOT NULL PRIMARY KEY, head BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE word (what TEXT NOT NULL PRIMARY KEY, code INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Which events have which name; not those that begin a decision under a usual name (`begun`,
-- `reconstructed`), whose rows of `decision` have it.
CREATE TABLE named (
  code INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (code, seq)
) STRICT, WITHOUT ROWID;
-- In the order of the log. What follows from a decision's first event stands here alone: its stream,
-- its usual name, where its payload lies (no pack if it has none, pack 0 if it could not be found)
-- and its causes (each 16 bytes of id and a byte of kind and strength) have rows of their own only
-- from the second event on.
CREATE TABLE decision (
  first INTEGER NOT NULL PRIMARY KEY, id BLOB NOT NULL UNIQUE, event BLOB NOT NULL,
  run BLOB NOT NULL, agent TEXT NOT NULL, version TEXT, kind TEXT NOT NULL, name TEXT,
  known TEXT NOT NULL, started INTEGER, status INTEGER NOT NULL, wall INTEGER NOT NULL,
  tick INTEGER NOT NULL, code INTEGER NOT NULL, pack INTEGER, place INTEGER,
  causes BLOB NOT NULL
) STRICT;
-- The kinds that are asked for over all runs: few among many.
CREATE INDEX decision_of_kind ON decision (kind)
  WHERE kind IN ('checkpoint', 'incident', 'recovery-step', 'verdict');
-- Decisions of one run that follow each other in the log without one of another run between.
CREATE TABLE decision_span (
  first INTEGER NOT NULL PRIMARY KEY, last INTEGER NOT NULL, count INTEGER NOT NULL,
  run BLOB NOT NULL
) STRICT;
CREATE INDEX decision_span_run ON decision_span (run);
CREATE TABLE event_of_decision (
  decision BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (decision, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE run (
  id BLOB NOT NULL PRIMARY KEY, opened INTEGER NOT NULL, imported INTEGER NOT NULL,
  external TEXT, file BLOB, format TEXT, part TEXT, subject BLOB NOT NULL,
  first INTEGER NOT NULL, wall INTEGER NOT NULL, tick INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Runs that were recorded here under a name of their callers', by age.
CREATE INDEX run_named ON run (first, external) WHERE external IS NOT NULL AND file IS NULL;
CREATE TABLE run_order (first INTEGER NOT NULL PRIMARY KEY, id BLOB NOT NULL) STRICT;
CREATE TABLE run_origin (
  file BLOB NOT NULL, format TEXT NOT NULL, part TEXT NOT NULL, first INTEGER NOT NULL,
  id BLOB NOT NULL, PRIMARY KEY (file, format, part, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_status (
  run BLOB NOT NULL, status INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (run, status)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_agent (
  run BLOB NOT NULL, agent TEXT NOT NULL, PRIMARY KEY (run, agent)
) STRICT, WITHOUT ROWID;
-- The effects of a decision, each 16 bytes of id and a byte of kind and strength, in the order of the
-- log; one row for each 1,024 neighbours in the log in which there are any.
CREATE TABLE effects (
  cause BLOB NOT NULL, span INTEGER NOT NULL, edges BLOB NOT NULL, PRIMARY KEY (cause, span)
) STRICT, WITHOUT ROWID;
CREATE TABLE cause_edge (
  effect BLOB NOT NULL, cause BLOB NOT NULL, kind INTEGER NOT NULL, strength INTEGER NOT NULL,
  PRIMARY KEY (effect, cause, kind, strength)
) STRICT, WITHOUT ROWID;
CREATE TABLE payload (
  seq INTEGER NOT NULL PRIMARY KEY, pack INTEGER NOT NULL, place INTEGER NOT NULL
) STRICT;
-- Payloads that no leaf of their commit group names, for erasure alone.
CREATE TABLE stray (
  subject BLOB NOT NULL, pack INTEGER NOT NULL, place INTEGER NOT NULL,
  PRIMARY KEY (subject, pack, place)
) STRICT, WITHOUT ROWID;
-- Payloads of one subject that follow each other in the log without one of another between.
CREATE TABLE payload_span (
  first INTEGER NOT NULL PRIMARY KEY, last INTEGER NOT NULL, count INTEGER NOT NULL,
  subject BLOB NOT NULL
) STRICT;
CREATE INDEX payload_span_subject ON payload_span (subject);
-- `what` is the first eight bytes, as a number, of the SHA-256 of `r` and a record's URI, or of `u` and the tool of
-- a call that names no record.
CREATE TABLE touch (
  what INTEGER NOT NULL, seq INTEGER NOT NULL, decision BLOB NOT NULL, PRIMARY KEY (what, seq)
) STRICT, WITHOUT ROWID;
-- The tools that were called; no server is the empty name.
CREATE TABLE tool (
  server TEXT NOT NULL, name TEXT NOT NULL, calls INTEGER NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, PRIMARY KEY (server, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE subject (id BLOB NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE erased (
  subject BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (subject, seq)
) STRICT, WITHOUT ROWID;

-- Operators act, and what they do is kept.

ALTER TABLE runs RENAME TO old_runs;
CREATE TABLE runs (
  id               INTEGER PRIMARY KEY,
  workflow         TEXT    NOT NULL,
  key              TEXT    NOT NULL,
  state            TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  -- When somebody may take it: queued, its due time; running, the end of its lease; ended, never.
  due_at           INTEGER CHECK ((due_at IS NOT NULL) = (state IN ('queued', 'running'))),
  owner            TEXT    CHECK ((owner IS NOT NULL) = (state = 'running')),
  token            INTEGER NOT NULL DEFAULT 0,
  stalls           INTEGER NOT NULL DEFAULT 0,
  cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
  -- How often an operator had it go on after its end.
  retries          INTEGER NOT NULL DEFAULT 0,
  payment_id       INTEGER REFERENCES payments (id),
  event_id         INTEGER REFERENCES events (id),
  -- Absent where the input is the payment's checkout.
  input            TEXT    CHECK (input IS NULL OR json_valid(input)),
  outcome          TEXT    CHECK ((outcome IS NOT NULL) = (state = 'succeeded')),
  failure          TEXT    CHECK ((failure IS NOT NULL) = (state = 'failed')),
  created_at       INTEGER NOT NULL,
  finished_at      INTEGER CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled')))
) STRICT;
INSERT INTO runs (id, workflow, key, state, due_at, owner, token, stalls, cancel_requested, payment_id, event_id, input,
    outcome, failure, created_at, finished_at)
  SELECT id, workflow, key, state, due_at, owner, token, stalls, cancel_requested, payment_id, event_id, input,
    outcome, failure, created_at, finished_at
  FROM old_runs;
DROP TABLE old_runs;
CREATE UNIQUE INDEX runs_identity ON runs (coalesce(payment_id, 0), workflow, key);
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;
CREATE TRIGGER runs_succeed_once BEFORE UPDATE OF state ON runs WHEN OLD.state = 'succeeded'
BEGIN SELECT RAISE(ABORT, 'a succeeded run never changes'); END;

ALTER TABLE attempts RENAME TO old_attempts;
CREATE TABLE attempts (
  run_id     INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  seq        INTEGER NOT NULL,
  step       TEXT    NOT NULL,
  number     INTEGER NOT NULL CHECK (number >= 1),
  started_at INTEGER NOT NULL,
  ended_at   INTEGER NOT NULL,
  outcome    TEXT    NOT NULL CHECK (outcome IN ('done', 'retry', 'failed')),
  output     TEXT    CHECK ((output IS NOT NULL) = (outcome = 'done')),
  failure    TEXT    CHECK ((failure IS NOT NULL) = (outcome IN ('retry', 'failed'))),
  -- An operator had the step done again: it is remembered by a later try.
  retried    INTEGER NOT NULL DEFAULT 0 CHECK (retried IN (0, 1)),
  PRIMARY KEY (run_id, step, number)
) STRICT, WITHOUT ROWID;
INSERT INTO attempts (run_id, seq, step, number, started_at, ended_at, outcome, output, failure)
  SELECT run_id, seq, step, number, started_at, ended_at, outcome, output, failure
  FROM old_attempts;
DROP TABLE old_attempts;
CREATE TRIGGER attempts_are_final BEFORE UPDATE OF run_id, seq, step, number, started_at, ended_at, outcome, output, failure ON attempts
BEGIN SELECT RAISE(ABORT, 'a recorded attempt never changes'); END;

CREATE TABLE acts (
  id         INTEGER PRIMARY KEY,
  at         INTEGER NOT NULL,
  actor      TEXT    NOT NULL,
  verb       TEXT    NOT NULL CHECK (verb IN
               ('refund', 'retry', 'cancel', 'resolve', 'pause', 'resume', 'reveal', 'prune', 'restore')),
  subject    TEXT    NOT NULL,
  reason     TEXT,
  payment_id INTEGER REFERENCES payments (id),
  before     TEXT    NOT NULL CHECK (json_valid(before)),
  after      TEXT    NOT NULL CHECK (json_valid(after)),
  chain      BLOB    NOT NULL CHECK (length(chain) = 32)
) STRICT;
CREATE INDEX acts_payment ON acts (payment_id) WHERE payment_id IS NOT NULL;
CREATE TRIGGER acts_never_change BEFORE UPDATE ON acts
BEGIN SELECT RAISE(ABORT, 'an act of an operator never changes'); END;
CREATE TRIGGER acts_stay BEFORE DELETE ON acts
BEGIN SELECT RAISE(ABORT, 'an act of an operator stays'); END;

CREATE TABLE pauses (
  kind   TEXT    NOT NULL CHECK (kind IN ('provider', 'workflow')),
  name   TEXT    NOT NULL,
  since  INTEGER NOT NULL,
  actor  TEXT    NOT NULL,
  reason TEXT,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

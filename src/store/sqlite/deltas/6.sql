-- Events keep headers of their request; events that are understood anew and alerts that are silenced are acts.

ALTER TABLE events ADD COLUMN headers TEXT CHECK (headers IS NULL OR json_valid(headers));

ALTER TABLE acts RENAME TO old_acts;
CREATE TABLE acts (
  id         INTEGER PRIMARY KEY,
  at         INTEGER NOT NULL,
  actor      TEXT    NOT NULL,
  verb       TEXT    NOT NULL CHECK (verb IN
               ('refund', 'retry', 'cancel', 'resolve', 'open', 'pause', 'resume', 'reveal', 'prune', 'restore',
                'replay', 'silence')),
  subject    TEXT    NOT NULL,
  reason     TEXT,
  payment_id INTEGER REFERENCES payments (id),
  before     TEXT    NOT NULL CHECK (json_valid(before)),
  after      TEXT    NOT NULL CHECK (json_valid(after)),
  chain      BLOB    NOT NULL CHECK (length(chain) = 32)
) STRICT;
INSERT INTO acts (id, at, actor, verb, subject, reason, payment_id, before, after, chain)
  SELECT id, at, actor, verb, subject, reason, payment_id, before, after, chain
  FROM old_acts;
DROP TABLE old_acts;
CREATE INDEX acts_payment ON acts (payment_id) WHERE payment_id IS NOT NULL;
CREATE TRIGGER acts_never_change BEFORE UPDATE ON acts
BEGIN SELECT RAISE(ABORT, 'an act of an operator never changes'); END;
CREATE TRIGGER acts_stay BEFORE DELETE ON acts
BEGIN SELECT RAISE(ABORT, 'an act of an operator stays'); END;

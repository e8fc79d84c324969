-- What is wrong with the deployment itself is kept, and who was told.

CREATE TABLE alerts (
  id             INTEGER PRIMARY KEY,
  condition      TEXT    NOT NULL CHECK (condition IN ('test', 'source_silent', 'backlog_old', 'breaker_open', 'disk_low')),
  subject        TEXT    NOT NULL,
  summary        TEXT    NOT NULL,
  count          INTEGER NOT NULL CHECK (count >= 1),
  first_at       INTEGER NOT NULL,
  last_at        INTEGER NOT NULL,
  silenced_until INTEGER,
  delivered_at   INTEGER,
  -- Why nobody could be told.
  failure        TEXT,
  ended_at       INTEGER
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (condition, subject) WHERE ended_at IS NULL;

-- Runs that tell of a case begin with another step: those at work begin anew. Somebody may hear of a case twice.
DELETE FROM attempts WHERE run_id IN (SELECT id FROM runs WHERE workflow = 'alert' AND due_at IS NOT NULL);

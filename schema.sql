-- The whole schema as it is now (SQLite). Times are UTC milliseconds, money is an integer in the minor unit of its
-- currency, closed sets of words are spelt as in src/model. What must never be is made impossible by CHECK, UNIQUE
-- or trigger, whatever the program does.

CREATE TABLE meta (
  key   TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each checkout session of ours.
CREATE TABLE payments (
  id             INTEGER PRIMARY KEY,
  session_id     TEXT    NOT NULL UNIQUE,
  payment_intent TEXT             UNIQUE,
  status         TEXT    NOT NULL CHECK (status IN
                   ('awaiting', 'paid', 'booked', 'refunding', 'refunded', 'failed', 'expired', 'attention')),
  amount         INTEGER NOT NULL CHECK (amount >= 0),
  currency       TEXT    NOT NULL CHECK (length(currency) = 3 AND currency = upper(currency)),
  livemode       INTEGER NOT NULL CHECK (livemode IN (0, 1)),
  customer_email TEXT,
  checkout       TEXT             CHECK (checkout IS NULL OR json_valid(checkout)),
  created_at     INTEGER NOT NULL,
  updated_at     INTEGER NOT NULL,
  -- Nothing paid, nothing to pay back.
  CHECK (payment_intent IS NOT NULL OR status NOT IN ('refunding', 'refunded'))
) STRICT;

-- What came in, once for each id of its sender, with those headers of its request that are no secret.
CREATE TABLE events (
  id          INTEGER PRIMARY KEY,
  source      TEXT    NOT NULL CHECK (source IN ('stripe', 'stripe_connect', 'cal', 'app')),
  external_id TEXT    NOT NULL,
  type        TEXT    NOT NULL,
  livemode    INTEGER NOT NULL CHECK (livemode IN (0, 1)),
  created_at  INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  disposition TEXT    NOT NULL CHECK (disposition IN ('accepted', 'ignored', 'attention', 'quarantined')),
  reason      TEXT,
  payment_id  INTEGER REFERENCES payments (id),
  -- How it came: sent to us, or fetched by us.
  via         TEXT    NOT NULL CHECK (via IN ('webhook', 'backfill')),
  -- What its payment will be known by, where there is none yet.
  waits_for   TEXT    CHECK (waits_for IS NULL OR payment_id IS NULL),
  body_sha256 BLOB    NOT NULL CHECK (length(body_sha256) = 32),
  body        BLOB,
  headers     TEXT CHECK (headers IS NULL OR json_valid(headers)),
  UNIQUE (external_id, source)
) STRICT;
CREATE INDEX events_payment ON events (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX events_waiting ON events (waits_for) WHERE waits_for IS NOT NULL;

-- Durable executions.
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
-- One run for each workflow and key, and the way from a payment to its runs.
CREATE UNIQUE INDEX runs_identity ON runs (coalesce(payment_id, 0), workflow, key);
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runs_failed ON runs (workflow) WHERE state = 'failed';

-- The tries of each step of each run; the final one is what the step is remembered by.
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

-- What a step has recorded never changes. (Pruning deletes whole runs.)
CREATE TRIGGER attempts_are_final BEFORE UPDATE OF run_id, seq, step, number, started_at, ended_at, outcome, output, failure ON attempts
BEGIN SELECT RAISE(ABORT, 'a recorded attempt never changes'); END;

-- A run that ended well never moves again.
CREATE TRIGGER runs_succeed_once BEFORE UPDATE OF state ON runs WHEN OLD.state = 'succeeded'
BEGIN SELECT RAISE(ABORT, 'a succeeded run never changes'); END;

-- Intents to pay money back, each recorded before Stripe is asked.
CREATE TABLE refunds (
  id               INTEGER PRIMARY KEY,
  payment_id       INTEGER NOT NULL REFERENCES payments (id),
  ordinal          INTEGER NOT NULL CHECK (ordinal >= 1),
  generation       INTEGER NOT NULL DEFAULT 1 CHECK (generation >= 1),
  amount           INTEGER NOT NULL CHECK (amount > 0),
  currency         TEXT    NOT NULL,
  reason           TEXT    NOT NULL,
  origin           TEXT    NOT NULL CHECK (origin IN ('workflow', 'operator', 'stripe')),
  status           TEXT    NOT NULL CHECK (status IN ('intended', 'sent', 'pending', 'succeeded', 'failed', 'canceled')),
  reference        TEXT    NOT NULL UNIQUE,
  request          TEXT,
  sent_at          INTEGER,
  stripe_refund_id TEXT UNIQUE,
  failure          TEXT    CHECK (failure IS NULL OR json_valid(failure)),
  created_at       INTEGER NOT NULL,
  settled_at       INTEGER,
  UNIQUE (payment_id, ordinal),
  CHECK (status <> 'sent' OR (request IS NOT NULL AND sent_at IS NOT NULL)),
  CHECK (status NOT IN ('pending', 'succeeded') OR stripe_refund_id IS NOT NULL)
) STRICT;
CREATE INDEX refunds_created ON refunds (created_at);

-- M3: what is not failed never adds up to more than was paid, and is in its currency.
CREATE TRIGGER refunds_within_payment_insert AFTER INSERT ON refunds BEGIN
  SELECT RAISE(ABORT, 'refunds exceed the payment') FROM payments p WHERE p.id = NEW.payment_id AND (p.currency <> NEW.currency OR
    p.amount < (SELECT sum(amount) FROM refunds WHERE payment_id = p.id AND status NOT IN ('failed', 'canceled')));
END;
CREATE TRIGGER refunds_within_payment_update AFTER UPDATE OF amount, status, payment_id, currency ON refunds BEGIN
  SELECT RAISE(ABORT, 'refunds exceed the payment') FROM payments p WHERE p.id = NEW.payment_id AND (p.currency <> NEW.currency OR
    p.amount < (SELECT sum(amount) FROM refunds WHERE payment_id = p.id AND status NOT IN ('failed', 'canceled')));
END;

-- What we know of the calendar.
CREATE TABLE bookings (
  id              INTEGER PRIMARY KEY,
  uid             TEXT    NOT NULL UNIQUE,
  cal_id          INTEGER NOT NULL,
  payment_id      INTEGER REFERENCES payments (id),
  status          TEXT    NOT NULL CHECK (status IN ('pending', 'accepted', 'completed', 'cancelled', 'rejected')),
  event_type_id   INTEGER,
  start_at        INTEGER NOT NULL,
  end_at          INTEGER NOT NULL,
  title           TEXT    NOT NULL,
  meeting_url     TEXT,
  organizer       TEXT    CHECK (organizer IS NULL OR json_valid(organizer)),
  attendees       TEXT    NOT NULL CHECK (json_valid(attendees)),
  mentor_user_id  TEXT,
  actor_user_id   TEXT,
  -- The uid it took the place of.
  replaces        TEXT,
  cancelled_by    TEXT,
  reason          TEXT,
  host_absent     INTEGER NOT NULL DEFAULT 0 CHECK (host_absent IN (0, 1)),
  attendee_absent INTEGER NOT NULL DEFAULT 0 CHECK (attendee_absent IN (0, 1)),
  -- When the newest word on absence was spoken.
  absence_at      INTEGER NOT NULL DEFAULT 0,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL
) STRICT;
-- M2: one live booking for each payment.
CREATE UNIQUE INDEX bookings_live ON bookings (payment_id) WHERE status IN ('pending', 'accepted', 'completed');
CREATE INDEX bookings_payment ON bookings (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX bookings_number ON bookings (cal_id);
CREATE INDEX bookings_replaces ON bookings (replaces) WHERE replaces IS NOT NULL;

-- What customers' banks have asked back.
CREATE TABLE disputes (
  id         TEXT    NOT NULL PRIMARY KEY,
  payment_id INTEGER NOT NULL REFERENCES payments (id),
  status     TEXT    NOT NULL CHECK (status IN ('inquiry', 'open', 'won', 'lost')),
  amount     INTEGER NOT NULL,
  currency   TEXT    NOT NULL,
  reason     TEXT    NOT NULL,
  -- Until when evidence is taken.
  due_at     INTEGER,
  -- When Stripe said so: an older word changes nothing.
  as_of      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX disputes_payment ON disputes (payment_id);

-- Mentors' accounts at Stripe.
CREATE TABLE accounts (
  id                TEXT    NOT NULL PRIMARY KEY,
  user_id           TEXT,
  email             TEXT,
  status            TEXT    NOT NULL CHECK (status IN ('pending', 'active', 'restricted', 'inactive')),
  charges_enabled   INTEGER NOT NULL CHECK (charges_enabled IN (0, 1)),
  payouts_enabled   INTEGER NOT NULL CHECK (payouts_enabled IN (0, 1)),
  transfers_enabled INTEGER NOT NULL CHECK (transfers_enabled IN (0, 1)),
  -- What Stripe still wants, and until when.
  requirements      TEXT    NOT NULL CHECK (json_valid(requirements)),
  as_of             INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The mentors' shares: intents recorded before Stripe is asked, and what Stripe moved by itself.
CREATE TABLE transfers (
  id                 INTEGER PRIMARY KEY,
  payment_id         INTEGER NOT NULL REFERENCES payments (id),
  generation         INTEGER NOT NULL DEFAULT 1 CHECK (generation >= 1),
  amount             INTEGER NOT NULL CHECK (amount > 0),
  currency           TEXT    NOT NULL,
  destination        TEXT    NOT NULL,
  origin             TEXT    NOT NULL CHECK (origin IN ('workflow', 'stripe')),
  status             TEXT    NOT NULL CHECK (status IN ('intended', 'sent', 'made', 'failed')),
  reversed           INTEGER NOT NULL DEFAULT 0 CHECK (reversed >= 0 AND reversed <= amount),
  reference          TEXT    NOT NULL UNIQUE,
  request            TEXT,
  sent_at            INTEGER,
  stripe_transfer_id TEXT    UNIQUE,
  created_at         INTEGER NOT NULL,
  CHECK (status <> 'sent' OR (request IS NOT NULL AND sent_at IS NOT NULL)),
  CHECK (status <> 'made' OR stripe_transfer_id IS NOT NULL)
) STRICT;
-- M9: one share for each payment.
CREATE UNIQUE INDEX transfers_live ON transfers (payment_id) WHERE status <> 'failed';
CREATE INDEX transfers_payment ON transfers (payment_id);

-- Up to when a source is known to be complete.
CREATE TABLE cursors (
  source         TEXT    NOT NULL PRIMARY KEY,
  complete_until INTEGER NOT NULL,
  checked_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What only a person can settle, once for each cause.
CREATE TABLE cases (
  id         INTEGER PRIMARY KEY,
  kind       TEXT    NOT NULL,
  status     TEXT    NOT NULL CHECK (status IN ('open', 'closed')),
  cause      TEXT    NOT NULL UNIQUE,
  summary    TEXT    NOT NULL,
  detail     TEXT    NOT NULL,
  amount     INTEGER CHECK ((amount IS NULL) = (currency IS NULL)),
  currency   TEXT,
  payment_id INTEGER REFERENCES payments (id),
  run_id     INTEGER,
  event_id   INTEGER REFERENCES events (id),
  opened_at  INTEGER NOT NULL,
  alerted_at INTEGER,
  closed_at  INTEGER CHECK ((closed_at IS NOT NULL) = (status = 'closed')),
  resolution TEXT    CHECK ((resolution IS NOT NULL) = (status = 'closed'))
) STRICT;
CREATE INDEX cases_payment ON cases (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX cases_open ON cases (opened_at) WHERE status = 'open';

-- What is or was wrong with the deployment itself: one open row for each cause.
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

-- E-mails, rendered once.
CREATE TABLE mails (
  id          INTEGER PRIMARY KEY,
  key         TEXT    NOT NULL UNIQUE,
  kind        TEXT    NOT NULL,
  recipient   TEXT    NOT NULL,
  subject     TEXT    NOT NULL,
  html        TEXT    NOT NULL,
  text        TEXT    NOT NULL,
  payment_id  INTEGER REFERENCES payments (id),
  status      TEXT    NOT NULL CHECK (status IN ('queued', 'sent', 'failed')),
  provider_id TEXT,
  created_at  INTEGER NOT NULL,
  sent_at     INTEGER CHECK ((sent_at IS NOT NULL) = (status = 'sent'))
) STRICT;
CREATE INDEX mails_payment ON mails (payment_id) WHERE payment_id IS NOT NULL;

-- What operators did. Each row carries the digest of itself and of the one before it: a row that is missing or was
-- altered shows.
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
CREATE INDEX acts_payment ON acts (payment_id) WHERE payment_id IS NOT NULL;
CREATE TRIGGER acts_never_change BEFORE UPDATE ON acts
BEGIN SELECT RAISE(ABORT, 'an act of an operator never changes'); END;
CREATE TRIGGER acts_stay BEFORE DELETE ON acts
BEGIN SELECT RAISE(ABORT, 'an act of an operator stays'); END;

-- What an operator has stopped for a while.
CREATE TABLE pauses (
  kind   TEXT    NOT NULL CHECK (kind IN ('provider', 'workflow')),
  name   TEXT    NOT NULL,
  since  INTEGER NOT NULL,
  actor  TEXT    NOT NULL,
  reason TEXT,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

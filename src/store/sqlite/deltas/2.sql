-- Cal.com, disputes, mentors' accounts and their shares are followed; what comes before its payment waits for it.

ALTER TABLE events RENAME TO old_events;
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
  UNIQUE (external_id, source)
) STRICT;
INSERT INTO events (id, source, external_id, type, livemode, created_at, received_at, disposition, reason, payment_id, via,
    body_sha256, body)
  SELECT id, source, external_id, type, livemode, created_at, received_at, disposition, reason, payment_id,
    'webhook', body_sha256, body
  FROM old_events;
DROP TABLE old_events;
CREATE INDEX events_payment ON events (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX events_waiting ON events (waits_for) WHERE waits_for IS NOT NULL;

ALTER TABLE bookings RENAME TO old_bookings;
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
INSERT INTO bookings (id, uid, cal_id, payment_id, status, event_type_id, start_at, end_at, title, meeting_url, organizer,
    attendees, created_at, updated_at)
  SELECT id, uid, cal_id, payment_id, status, event_type_id, start_at, end_at, title, meeting_url, CASE WHEN
    host_email IS NOT NULL THEN json_object('name', '', 'email', host_email) END, '[]', created_at, updated_at
  FROM old_bookings;
DROP TABLE old_bookings;
CREATE UNIQUE INDEX bookings_live ON bookings (payment_id) WHERE status IN ('pending', 'accepted', 'completed');
CREATE INDEX bookings_payment ON bookings (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX bookings_number ON bookings (cal_id);
CREATE INDEX bookings_replaces ON bookings (replaces) WHERE replaces IS NOT NULL;

ALTER TABLE cases RENAME TO old_cases;
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
INSERT INTO cases (id, kind, status, cause, summary, detail, amount, currency, payment_id, run_id, event_id, opened_at,
    alerted_at, closed_at, resolution)
  SELECT id, kind, status, cause, summary, detail, amount, currency, payment_id, run_id, event_id, opened_at,
    alerted_at, closed_at, CASE status WHEN 'closed' THEN 'closed before reasons were kept' END
  FROM old_cases;
DROP TABLE old_cases;
CREATE INDEX cases_payment ON cases (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX cases_open ON cases (opened_at) WHERE status = 'open';

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
CREATE UNIQUE INDEX transfers_live ON transfers (payment_id) WHERE status <> 'failed';
CREATE INDEX transfers_payment ON transfers (payment_id);

CREATE TABLE cursors (
  source         TEXT    NOT NULL PRIMARY KEY,
  complete_until INTEGER NOT NULL,
  checked_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

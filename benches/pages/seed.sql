-- A marketplace of some years: 300,000 payments, 1,000,000 events, 1,000,000 runs with a try each, ending at :now.
PRAGMA synchronous = OFF;
PRAGMA foreign_keys = OFF;
BEGIN;
CREATE TEMP TABLE t AS SELECT 1793872800000 AS now;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
INSERT INTO payments (id, session_id, payment_intent, status, amount, currency, livemode, customer_email, checkout, created_at, updated_at)
SELECT i, 'cs_test_' || hex(randomblob(20)), 'pi_' || hex(randomblob(12)),
  CASE WHEN i > 299980 THEN 'paid' WHEN i % 1000 = 0 THEN 'attention' WHEN i % 50 = 0 THEN 'refunded' ELSE 'booked' END,
  5000, 'USD', 0, 'buyer' || i || '@example.edu',
  json_object('session_id', 'cs_' || i, 'payment_intent', 'pi_' || i, 'amount', json_object('minor', 5000, 'currency', 'USD'),
    'paid_at', now - (300000 - i) * 300000, 'mentor_user_id', '3f0c', 'mentor_username', 'mentor-' || (i % 500), 'mentor_account', 'acct_1',
    'event_type_id', 7, 'start', now, 'attendee', json_object('name', 'Buyer ' || i, 'email', 'buyer' || i || '@example.edu', 'time_zone', 'UTC'),
    'mentor_fee', 0, 'mentee_fee', 0, 'mentor_amount', 5000),
  now - (300000 - i) * 300000, now - (300000 - i) * 300000
FROM n, t;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
INSERT INTO events (id, source, external_id, type, livemode, created_at, received_at, disposition, reason, payment_id, via, body_sha256, body)
SELECT i, CASE i % 3 WHEN 0 THEN 'cal' ELSE 'stripe' END, 'evt_' || hex(randomblob(12)),
  CASE i % 3 WHEN 0 THEN 'BOOKING_CREATED' WHEN 1 THEN 'checkout.session.completed' ELSE 'payment_intent.succeeded' END,
  0, now - (1000000 - i) * 90000, now - (1000000 - i) * 90000,
  CASE WHEN i % 5000 = 0 THEN 'attention' WHEN i % 3 = 2 THEN 'ignored' ELSE 'accepted' END,
  CASE WHEN i % 5000 = 0 THEN 'its metadata cannot be used' WHEN i % 3 = 2 THEN 'the checkout session tells what follows' END,
  1 + (i - 1) * 3 / 10, 'webhook', randomblob(32), CASE WHEN i > 900000 THEN randomblob(1500) END
FROM n, t;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
INSERT INTO runs (id, workflow, key, state, due_at, payment_id, event_id, input, outcome, failure, created_at, finished_at)
SELECT i, CASE i % 3 WHEN 0 THEN 'send-email' WHEN 1 THEN 'process-checkout-side-effects' ELSE 'track-event' END, 'key/' || i,
  CASE WHEN i > 999900 THEN 'queued' WHEN i % 2000 = 0 THEN 'failed' WHEN i % 9000 = 0 THEN 'cancelled' ELSE 'succeeded' END,
  CASE WHEN i > 999900 THEN now END, 1 + (i - 1) * 3 / 10, i, json_object('mail', i),
  CASE WHEN i <= 999900 AND i % 2000 <> 0 AND i % 9000 <> 0 THEN 'sent' END,
  CASE WHEN i <= 999900 AND i % 2000 = 0 THEN json_object('kind', 'permanent', 'code', 'rate_limited', 'message', 'asked too often') END,
  now - (1000000 - i) * 90000, CASE WHEN i <= 999900 THEN now - (1000000 - i) * 90000 + 900 END
FROM n, t;

INSERT INTO attempts (run_id, seq, step, number, started_at, ended_at, outcome, output, failure)
SELECT id, 1, CASE id % 3 WHEN 0 THEN 'send' WHEN 1 THEN 'create-calcom-booking' ELSE 'capture' END, 1, created_at, created_at + 800,
  CASE state WHEN 'failed' THEN 'failed' ELSE 'done' END, CASE WHEN state <> 'failed' THEN '{"id":"x"}' END, failure
FROM runs WHERE state <> 'queued';

INSERT INTO refunds (payment_id, ordinal, amount, currency, reason, origin, status, reference, stripe_refund_id, created_at, settled_at)
SELECT id, 1, 5000, 'USD', 'the session could not be booked', 'workflow', 'succeeded', payment_intent || '/1', 're_' || id, created_at, created_at
FROM payments WHERE status = 'refunded';

INSERT INTO bookings (uid, cal_id, payment_id, status, start_at, end_at, title, organizer, attendees, created_at, updated_at)
SELECT 'uid' || hex(randomblob(8)), id, id, CASE WHEN id > 290000 THEN 'accepted' ELSE 'completed' END, created_at, created_at + 3600000, 'Session',
  json_object('name', 'Mentor', 'email', 'mentor@example.edu'),
  json_array(json_object('name', 'Buyer ' || id, 'email', 'buyer' || id || '@example.edu')), created_at, created_at
FROM payments WHERE status = 'booked';

INSERT INTO cases (kind, status, cause, summary, detail, amount, currency, payment_id, opened_at, alerted_at, closed_at, resolution)
SELECT 'refund_failed', CASE WHEN id > 280000 THEN 'open' ELSE 'closed' END, 'refund_failed/' || id, 'the money could not be paid back', 'refused',
  5000, 'USD', id, created_at, created_at, CASE WHEN id <= 280000 THEN created_at END, CASE WHEN id <= 280000 THEN 'settled_elsewhere' END
FROM payments WHERE status = 'attention';
COMMIT;

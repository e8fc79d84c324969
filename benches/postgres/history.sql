-- A marketplace of some years: $1 payments that are over, each with its event, its runs and a booking.
INSERT INTO payments (session_id, payment_intent, status, amount, currency, livemode, customer_email, created_at, updated_at)
SELECT 'cs_test_' || md5(i::text), 'pi_' || md5(i::text), 'booked', 5000, 'USD', 0, 'buyer' || i || '@example.edu', i * 1000, i * 1000
FROM generate_series(1::bigint, $1) AS i;

INSERT INTO events (source, external_id, type, livemode, created_at, received_at, disposition, payment_id, body_sha256, via)
SELECT 'stripe', 'evt_' || md5(id::text), 'checkout.session.completed', 0, created_at, created_at, 'accepted', id,
  decode(md5(id::text) || md5(id::text), 'hex'), 'webhook'
FROM payments;

INSERT INTO runs (workflow, key, state, payment_id, outcome, created_at, finished_at)
SELECT workflow, 'subject', 'succeeded', id, 'done', created_at, created_at + 900
FROM payments, (VALUES ('process-checkout-side-effects'), ('send-email')) AS of (workflow);

INSERT INTO bookings (uid, cal_id, payment_id, status, start_at, end_at, title, organizer, attendees, created_at, updated_at)
SELECT md5(id::text), id, id, 'completed', created_at, created_at + 3600000, 'Session', '{}', '[]', created_at, created_at
FROM payments;

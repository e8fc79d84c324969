-- Events keep headers of their request; events that are understood anew and alerts that are silenced are acts. (They are
-- few: what people did.)
ALTER TABLE events ADD COLUMN headers JSON;
ALTER TABLE acts DROP CONSTRAINT acts_verb_check, ADD CONSTRAINT acts_verb_check CHECK (verb IN
  ('refund', 'retry', 'cancel', 'resolve', 'open', 'pause', 'resume', 'reveal', 'prune', 'restore',
   'replay', 'silence'));

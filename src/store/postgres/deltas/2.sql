-- Every run is written several times in its life and stays for good: cleaned up by a share of all rows, the index of
-- what is due would be full of what was.
ALTER TABLE runs SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
  autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE payments SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000);

-- What logins were refused, by a keyed hash of host and secrets: accounts with one login share
-- its tries, and a changed secret is another login.
CREATE TABLE logins (
  login    BLOB    PRIMARY KEY,
  refusals INTEGER NOT NULL,                 -- plainly refused, since it last worked
  doubts   INTEGER NOT NULL,                 -- answers that may mask a refusal
  distrust INTEGER NOT NULL,                 -- values in a row that were refused when fresh
  at       INTEGER NOT NULL                  -- the last of them
) STRICT, WITHOUT ROWID;

-- Secrets of an account that a job changed on the provider's side. They are used in place of the
-- configured ones until those change.
CREATE TABLE secret_changes (
  queue      INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  pending    INTEGER NOT NULL,               -- 1: the job's request may not have been carried out
  configured BLOB    NOT NULL,               -- keyed hash of the secret that was configured then
  salt       BLOB    NOT NULL,
  value      BLOB    NOT NULL,               -- sealed
  job        BLOB    NOT NULL,               -- the id of the job that changed it
  at         INTEGER NOT NULL,
  PRIMARY KEY (queue, name, pending)
) STRICT, WITHOUT ROWID;

ALTER TABLE credentials DROP COLUMN refusals;

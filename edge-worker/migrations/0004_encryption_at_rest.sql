-- Name of the root whose key seals the body; NULL for one stored before encryption at rest existed. Only
-- for finding what is to be sealed anew: the value itself says what sealed it.
ALTER TABLE segments ADD COLUMN sealed_under TEXT;

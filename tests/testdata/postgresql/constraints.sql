CREATE TABLE p (id int PRIMARY KEY, u text UNIQUE)
CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, q int DEFAULT 5 CHECK (q > 0), b boolean NOT NULL DEFAULT true, t text, UNIQUE (q, t), CONSTRAINT short CHECK (t < 'zz'))
CREATE TABLE k (id int PRIMARY KEY, u text REFERENCES p (u) ON DELETE CASCADE, c int REFERENCES c ON DELETE SET NULL)
CREATE TABLE s (id int PRIMARY KEY, up int REFERENCES s)
CREATE TABLE two (a int, b int, PRIMARY KEY (a, b))
CREATE TABLE three (x int, y int, FOREIGN KEY (x, y) REFERENCES two)
CREATE UNIQUE INDEX c_b_t ON c (b, t) WHERE q > 100
INSERT INTO p VALUES (1, 'one'), (2, 'two')
INSERT INTO p VALUES (1, 'uno')
INSERT INTO p VALUES (1, 'one')
INSERT INTO p VALUES (8, 'two'), (1, 'one')
UPDATE p SET u = 'one' WHERE id = 2
INSERT INTO p VALUES (3, 'three'), (4, 'two')
INSERT INTO p VALUES (5, 'five'), (5, 'six')
INSERT INTO p (u) VALUES ('none')
INSERT INTO c VALUES (1, 1, 7, true, 'x')
INSERT INTO c VALUES (2, 9, 7, true, 'y')
INSERT INTO c VALUES (2, NULL, 7, true, 'x')
INSERT INTO c VALUES (2, NULL, -1, true, 'y')
INSERT INTO c VALUES (2, NULL, 1, NULL, 'y')
INSERT INTO c (id, b) VALUES (3, NULL)
INSERT INTO c (id, t) VALUES (3, 'zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz')
INSERT INTO c (id, q, t) VALUES (3, 7, 'x'), (4, 1, 'y')
INSERT INTO c (id, p) VALUES (3, 1), (4, 77)
INSERT INTO c (id, p) VALUES (30, 2)
UPDATE c SET q = -q WHERE id = 1
UPDATE c SET b = NULL WHERE id = 1
UPDATE c SET id = 30 WHERE id = 1
UPDATE c SET p = 50 WHERE id = 1
DELETE FROM p WHERE id = 1
DELETE FROM p
INSERT INTO k VALUES (1, 'one', 1), (2, 'two', 1)
INSERT INTO k VALUES (3, 'nine', NULL)
DELETE FROM c WHERE id = 1
DELETE FROM p WHERE id = 1
INSERT INTO s VALUES (1, 2), (2, 1)
INSERT INTO s VALUES (3, 4)
DELETE FROM s WHERE id = 1
DELETE FROM s
INSERT INTO two VALUES (1, 2), (1, 3)
INSERT INTO two VALUES (4, 5), (1, 3)
INSERT INTO three VALUES (1, NULL), (NULL, 8)
INSERT INTO three VALUES (1, 2)
INSERT INTO three VALUES (1, 4)
DELETE FROM two WHERE b = 2
DROP TABLE two
DROP TABLE two CASCADE
INSERT INTO three VALUES (1, 4)
TRUNCATE p
INSERT INTO c VALUES (200, NULL, 200, true, 'same'), (201, NULL, 201, true, 'same')
CREATE UNIQUE INDEX ON c (p)
INSERT INTO c (id, p) VALUES (31, 2)

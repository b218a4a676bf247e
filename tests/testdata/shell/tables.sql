SELECT 1 AS a, 'x' AS bbb;
SELECT 1.5::numeric AS n, null AS z, E'a\nbb\nc' AS multi, 'end' AS e;
SELECT E'x\ty\x1b\r' AS ctl, E'l1\nl2' AS "two
lines", 12 as num, E'l1\nlonger2' as last;
SELECT 'ü€漢' AS wide, 1 AS i UNION ALL SELECT 'a', 22;
SELECT 1 WHERE false;
SELECT;
CREATE TABLE t (id int primary key, v text);
INSERT INTO t VALUES (1,'a;b'),(2,NULL) RETURNING *;
SELECT * FROM t;
\x
SELECT * FROM t;
SELECT E'a\nbb' AS multi, 1 AS "a very long column name here";
SELECT 1 WHERE false;
SELECT repeat('x', 30) AS a;
SELECT E'm\nn' as "q
r", 5 as x;
\x
DROP TABLE t;
\t
SELECT 1, 2;
\t
select '{1,2}'::int[] as arr, true as b, 1.5e300::float8 as f, '1 mon 2 days'::interval as iv, 'infinity'::timestamptz as ts;

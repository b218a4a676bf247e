CREATE TABLE c (id int primary key, v text);
COPY c FROM STDIN;
1	one
2	\N
\.
SELECT * FROM c ORDER BY 1;
\copy c to 'c.csv' csv header
TRUNCATE c;
\copy c (id, v) from 'c.csv' with (format csv, header)
\copy (select v, id from c order by 2) to stdout
COPY c TO STDOUT (FORMAT csv);
DROP TABLE IF EXISTS nope;
SELECT $$a;b$$, /* x ; */ 'c;d' -- e;
 ; SELECT 2;
BEGIN; SELECT 1; COMMIT;
\o c.sql
\t
SELECT 'SELECT 44 AS i;' AS s;
\t
\o
\i c.sql
\echo hello 'big world'
SELECT 42 AS x \gx
SELECT 43
  AS y
\g
\p
\t
\t
\x auto
\x
\timing on
\timing off
\pset null x
\pset pager off
\pset null NULL
DROP TABLE c;
SELECT 'unfinished'

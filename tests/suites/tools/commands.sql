\set QUIET on
\pset pager off
\encoding UTF8
\echo '== \\d'
\d
\echo '== \\d author'
\d author
\echo '== \\d book'
\d book
\echo '== \\d+ book'
\d+ book
\echo '== \\d "Odd Name"'
\d "Odd Name"
\echo '== \\d sales.*'
\d sales.*
\echo '== \\d+ sales.sale'
\d+ sales.sale
\echo '== \\d book_lower'
\d book_lower
\echo '== \\d+ book_made'
\d+ book_made
\echo '== \\d book_pkey'
\d book_pkey
\echo '== \\d author_id_seq'
\d author_id_seq
\echo '== \\d sales.numbers'
\d sales.numbers
\echo '== \\d nope'
\d nope
\echo '== \\d b*'
\d b*
\echo '== \\dt'
\dt
\echo '== \\dt+ sales.*'
\dt+ sales.*
\echo '== \\dt *.author'
\dt *.author
\echo '== \\dt nope'
\dt nope
\echo '== \\di'
\di
\echo '== \\di+ sales.*'
\di+ sales.*
\echo '== \\ds'
\ds
\echo '== \\ds+ sales.*'
\ds+ sales.*
\echo '== \\dv'
\dv
\echo '== \\dv+'
\dv+
\echo '== \\dm'
\dm
\echo '== \\dE'
\dE
\echo '== \\dn'
\dn
\echo '== \\dn+'
\dn+
\echo '== \\du'
\du
\echo '== \\du+'
\du+
\echo '== \\dg'
\dg
\echo '== \\df'
\df
\echo '== \\df+'
\df+
\echo '== \\da'
\da
\echo '== \\dT'
\dT
\echo '== \\dT+'
\dT+
\echo '== \\dd'
\dd
\echo '== \\dd book_price_check'
\dd book_price_check
\echo '== \\dL'
\dL
\echo '== \\dl'
\dl
\echo '== \\dp'
\dp
\echo '== \\dp sales.*'
\dp sales.*
\echo '== \\z book'
\z book
\echo '== \\ddp'
\ddp
\echo '== \\drds'
\drds
\echo '== \\dx'
\dx
\echo '== \\dy'
\dy
\echo '== \\dX'
\dX
\echo '== \\dA'
\dA
\echo '== \\db'
\db
\echo '== \\dc'
\dc
\echo '== \\dD'
\dD
\echo '== \\des'
\des
\echo '== \\det'
\det
\echo '== \\deu'
\deu
\echo '== \\dew'
\dew
\echo '== \\dF'
\dF
\echo '== \\dFd'
\dFd
\echo '== \\dFp'
\dFp
\echo '== \\dFt'
\dFt
\echo '== \\dO'
\dO
\echo '== \\dP'
\dP
\echo '== \\dPt'
\dPt
\echo '== \\dPi'
\dPi
\echo '== \\drds'
\drds
\echo '== \\dRp'
\dRp
\echo '== \\dRs'
\dRs
\echo '== \\dC+ nope'
\dC+ nope
\echo '== \\do nope'
\do nope
\echo '== \\l shardrouter'
\l shardrouter
\echo '== \\l+ nope'
\l+ nope
\echo '== \\dconfig search_path'
\dconfig search_path
\echo '== \\encoding'
\encoding
\echo '== \\sf nope'
\sf nope
\echo '== \\gdesc in use'
SELECT id, title, price, made FROM book \gdesc
\echo '== \\gset in use'
SELECT count(*) AS books, max(price) AS dearest FROM book \gset
\echo :books :dearest
\echo '== \\gset with a prefix in use'
SELECT id AS i, name FROM author WHERE id = 1 \gset a_
\echo :a_i :'a_name'
\echo '== \\gexec in use'
SELECT format('SELECT %s AS number', id) FROM book ORDER BY id \gexec
\echo '== \\gx in use'
SELECT id, title, tags FROM book ORDER BY id \gx
\echo '== \\x in use'
\x on
SELECT * FROM sales.shop ORDER BY code;
\x off
\echo '== \\crosstabview in use'
SELECT s.shop, b.title, sum(s.amount) FROM sales.sale s JOIN book b ON b.id = s.book GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview
\echo '== \\pset format csv in use'
\pset format csv
SELECT * FROM book ORDER BY id;
\pset format aligned
\echo '== \\pset null and border in use'
\pset null '(none)'
\pset border 2
SELECT * FROM sales.shop ORDER BY code;
\pset border 1
\pset null ''
\echo '== variables in use'
\set wanted Emma
SELECT id FROM book WHERE title = :'wanted';
\echo '== \\if in use'
SELECT count(*) > 2 AS many FROM book \gset
\if :many
\echo many
\else
\echo few
\endif
\echo '== \\copy out in use'
\copy (SELECT id, title, tags FROM book ORDER BY id) to stdout
\copy (SELECT id, title FROM book ORDER BY id) to pstdout csv header
\echo '== INSERT from a query in use'
CREATE TABLE numbered (id serial PRIMARY KEY, title text, price numeric);
INSERT INTO numbered (title, price) SELECT title, price FROM book ORDER BY id RETURNING id, title;
BEGIN;
INSERT INTO numbered (title) SELECT * FROM unnest('{x,y}'::text[]) RETURNING title;
ROLLBACK;
DROP TABLE numbered;
\echo '== \\copy in in use'
\copy sales.shop (code, name) from stdin csv
a,"one, two"
b,three
\.
SELECT code, name, opened FROM sales.shop ORDER BY code;
\echo '== \\copy in, wrong in use'
\copy sales.shop (code, name) from stdin
a	again
\.
\echo '== \\watch in use'
CREATE SEQUENCE three MAXVALUE 3;
SELECT nextval('three') \watch 0.01
\echo '== \\errverbose in use'
SELECT 1/0;
\echo '== prepared in use'
PREPARE p (int) AS SELECT title FROM book WHERE id = $1;
EXECUTE p (2);
DEALLOCATE p;
\echo '== a cursor in use'
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM book ORDER BY id;
FETCH 2 FROM c;
FETCH 2 FROM c;
COMMIT;
\echo '== FETCH_COUNT in use'
\set FETCH_COUNT 2
SELECT id, title FROM book ORDER BY id;
\unset FETCH_COUNT
\echo '== ON_ERROR_ROLLBACK in use'
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT nope FROM book;
SELECT count(*) FROM book;
COMMIT;
\unset ON_ERROR_ROLLBACK
\echo '== AUTOCOMMIT off in use'
\set AUTOCOMMIT off
INSERT INTO author (name) VALUES ('Nobody');
ROLLBACK;
\set AUTOCOMMIT on
SELECT count(*) FROM author WHERE name = 'Nobody';
\echo '== show all of some in use'
SHOW server_version_num;
SHOW search_path;
SHOW TRANSACTION ISOLATION LEVEL;
\echo '== \\timing off in use'
\timing off
\echo '== \\sv in use'
\sv nope

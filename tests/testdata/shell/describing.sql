CREATE TABLE accounts (id bigint PRIMARY KEY, owner text NOT NULL, balance numeric(12,2) NOT NULL DEFAULT 0, opened timestamptz DEFAULT now(), note varchar(20), CHECK (balance >= 0));
CREATE TABLE orders (id serial PRIMARY KEY, account bigint REFERENCES accounts(id) ON DELETE CASCADE, what text UNIQUE, n int GENERATED ALWAYS AS IDENTITY);
CREATE INDEX orders_what ON orders (account, what DESC) WHERE n > 3;
CREATE VIEW rich AS SELECT id, owner FROM accounts WHERE balance > 1000;
CREATE SEQUENCE s1;
CREATE SCHEMA other;
CREATE TABLE other."Odd name" (x int, "Y" text[]);
COMMENT ON TABLE accounts IS 'who has what';
CREATE ROLE ann LOGIN;
\d
\dt
\d accounts
\d orders
\di
\ds
\dv
\dn
\du
\l
\df
\d rich
\d s1
\d orders_id_seq
\d orders_n_seq
\d orders_what
\d orders_pkey
\d other.*
\dt o*
\dt other.*
\d "Odd name"
\dn o*
\du ann
\l post*
\df lower
\x on
\dt
\d accounts
\x off
\t
\dt
\t
DROP VIEW rich;
DROP TABLE orders, accounts, other."Odd name";
DROP SEQUENCE s1;
DROP SCHEMA other;
DROP ROLE ann;

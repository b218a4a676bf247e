CREATE TABLE author (id serial PRIMARY KEY, name varchar(40) NOT NULL, born date, active boolean NOT NULL DEFAULT true, note text DEFAULT 'none');
CREATE TABLE book (id integer PRIMARY KEY, author_id integer REFERENCES author (id) ON DELETE CASCADE, title text NOT NULL, price numeric(8,2) DEFAULT 0, tags text[], made timestamptz DEFAULT now(), CHECK (price >= 0), UNIQUE (author_id, title));
CREATE INDEX book_title ON book (title);
CREATE UNIQUE INDEX book_made ON book (made DESC, id);
CREATE INDEX book_lower ON book (lower(title)) WHERE price > 10;
CREATE TABLE "Odd Name" ("Select" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "b c" char(3), u uuid);

"""The database inside your own process: no server between, names as in asyncpg.

shardrouter up                            in one terminal
python examples/embed.py                  in another (--cluster FILE for another cluster)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools

from shardrouter import DefiniteError, IndefiniteError, NotSupported, Router, StatementError


async def main(cluster: str | None) -> None:
    async with Router.open(cluster) as db:
        await db.execute("DROP TABLE IF EXISTS accounts")
        # Rows live on the shard that their shard key hashes to; without a word it is the first
        # column of the primary key.
        await db.execute(
            "CREATE TABLE accounts (id bigint PRIMARY KEY, owner text NOT NULL, balance bigint)"
        )
        for number, owner in enumerate(["Ada", "Grace", "Barbara", "Radia"], start=1):
            await db.execute("INSERT INTO accounts VALUES ($1, $2, $3)", number, owner, 100)

        # One key: one shard, one round trip, linearizable. The write is applied exactly once,
        # also if the leader dies in between.
        await db.execute("UPDATE accounts SET balance = balance + $1 WHERE id = $2", 42, 1)
        row = await db.fetchrow("SELECT owner, balance FROM accounts WHERE id = $1", 1)
        assert row is not None
        print(f"{row['owner']} has {row['balance']}")

        # No key: all shards are asked, their rows merged.
        for row in await db.fetch("SELECT id, owner FROM accounts ORDER BY owner"):
            place = await db.where("accounts", row["id"])
            print(f"{row['owner']:8} is in slot {place.slot} on {place.shard}")
        count = await db.fetchval("SELECT count(*) FROM accounts")
        print(f"{count} accounts")

        # An error is definite (nothing has happened, and never will) or indefinite (look
        # before you repeat it).
        try:
            await db.execute("INSERT INTO accounts VALUES (1, 'Eve', 0)")
        except DefiniteError as error:
            print(f"refused, for certain: {error.message} ({error.sqlstate})")
        except IndefiniteError as error:
            print(f"it may have happened: {error.message} ({error.sqlstate})")

        # Several statements are one unit, all or nothing, as long as they are on one shard.
        pay = "UPDATE accounts SET balance = balance - 10 WHERE id = {};"
        receive = "UPDATE accounts SET balance = balance + 10 WHERE id = {};"
        for giver, taker in itertools.combinations(range(1, 5), 2):
            try:
                await db.execute(pay.format(giver) + receive.format(taker), timeout=5)
            except NotSupported:
                print(f"{giver} and {taker} live on different shards")
            else:
                print(f"{giver} gave 10 to {taker}")

        try:
            await db.fetch("SELECT nothing FROM accounts")
        except StatementError as error:
            print(f"as PostgreSQL says it: {error.message}")
        await db.execute("DROP TABLE accounts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cluster", help="the cluster.toml; else it is looked for")
    asyncio.run(main(parser.parse_args().cluster))

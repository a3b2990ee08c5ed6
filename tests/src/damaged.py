"""Damages files of txn_summary in the lake at argv[1], each in another way; prints {path: what verify should say}."""
import json
import os
import sys

import duckdb

os.chdir(sys.argv[1])
paths = sorted(duckdb.sql("SELECT file FROM glob('txn_summary/*/*.parquet')").fetchall())


def rewrite(path, select):
    table = f"read_parquet('{path}', hive_partitioning = false)"
    duckdb.sql(f"COPY ({select.format(table=table)}) TO '{path}.new' (FORMAT parquet)")
    os.replace(path + ".new", path)


DAMAGE = {
    "row total_amount": "SELECT * REPLACE (total_amount + 0.01 AS total_amount) FROM {table}",
    "row total_items": "SELECT * REPLACE (NULL::INT AS total_items) FROM {table}",
    "row_missing": "SELECT * FROM {table} WHERE customer_id <> (SELECT max(customer_id) FROM {table})",
    "row_extra": "SELECT * FROM {table} UNION ALL SELECT 1000000, 1, 1, 1, 'x'",
    "row_extra twice": "SELECT * FROM {table} UNION ALL SELECT * FROM {table} ORDER BY customer_id",
    "file_unsorted": "SELECT * FROM {table} ORDER BY customer_id DESC",
    "file_schema": "SELECT total_amount, customer_id, total_items, distinct_products, top_category FROM {table}",
    "file_schema type": "SELECT * REPLACE (total_items::BIGINT AS total_items) FROM {table}",
}
said = {}
for (path,), (damage, select) in zip(paths, DAMAGE.items(), strict=False):
    rewrite(path, select)
    said[path] = damage
with open(paths[-1][0], "wb") as file:
    file.write(b"PAR1 no longer")
said[paths[-1][0]] = "file_unreadable"
print(json.dumps(said))

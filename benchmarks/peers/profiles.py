"""Customer profiles the usual way: profiles.py SOURCE CASSANDRA KEYSPACE.

ConnectorX reads, polars sums up, the DataStax driver writes. As such scripts are: everything every time, no checks, no
offset, nothing read back.
"""
import sys
from decimal import ROUND_HALF_UP, Decimal

import connectorx
import polars as pl
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import RoundRobinPolicy

source, node, keyspace = sys.argv[1:]
read = lambda sql, **how: pl.from_arrow(connectorx.read_sql(source, sql, return_type="arrow", **how))

transactions = read(
    "SELECT txn_id, customer_id, product_id, amount, txn_timestamp FROM transactions",
    partition_on="txn_id",
    partition_num=4,
)
products = read("SELECT product_id, category FROM products")
customers = read("SELECT customer_id, name, email, gender FROM customers")

sums = transactions.group_by("customer_id").agg(
    spend=pl.col("amount").sum(),
    count=pl.len(),
    first=pl.col("txn_timestamp").min(),
    last=pl.col("txn_timestamp").max(),
)
favorites = (
    transactions.join(products, on="product_id")
    .group_by("customer_id", "category")
    .agg(count=pl.len())
    .sort("count", "category", descending=[True, False])
    .group_by("customer_id")
    .agg(favorite=pl.col("category").first())
)
profiles = customers.join(sums, on="customer_id").join(favorites, on="customer_id")

cent = Decimal("0.01")
columns = ("customer_id", "name", "email", "gender", "spend", "count", "first", "last", "favorite")
rows = [
    (id, name, email, gender, spend.quantize(cent), count, (spend / count).quantize(cent, ROUND_HALF_UP), first, last, favorite)
    for id, name, email, gender, spend, count, first, last, favorite in profiles.select(columns).iter_rows()
]

host, port = node.rsplit(":", 1)
profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=60)
cluster = Cluster([host], port=int(port), execution_profiles={EXEC_PROFILE_DEFAULT: profile})
session = cluster.connect(keyspace)
session.execute(
    "CREATE TABLE IF NOT EXISTS script_profile (customer_id int PRIMARY KEY, name text, email text, gender text, "
    "total_spend decimal, total_transactions int, avg_order_value decimal, first_purchase timestamp, "
    "last_purchase timestamp, favorite_category text)"
)
insert = session.prepare(
    "INSERT INTO script_profile (customer_id, name, email, gender, total_spend, total_transactions, avg_order_value, "
    "first_purchase, last_purchase, favorite_category) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
execute_concurrent_with_args(session, insert, rows, concurrency=200)
cluster.shutdown()

"""Daily summaries the usual way: summaries.py SOURCE BUCKET/PREFIX.

ConnectorX reads, DuckDB sums up, pyarrow writes to S3. As such scripts are: everything every time, no checks, no
offset, nothing read back.
"""
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlparse

import connectorx
import duckdb
import pyarrow.parquet as parquet
from pyarrow import fs

source, prefix = sys.argv[1:]
transactions = connectorx.read_sql(
    source,
    "SELECT txn_id, customer_id, product_id, qty, amount, txn_timestamp FROM transactions",
    return_type="arrow",
    partition_on="txn_id",
    partition_num=4,
)
products = connectorx.read_sql(source, "SELECT product_id, category FROM products", return_type="arrow")
db = duckdb.connect()
db.sql(
    """
    CREATE TABLE summaries AS
    WITH bought AS (
        SELECT CAST(txn_timestamp AS DATE) AS date, customer_id, product_id, category, qty, amount
        FROM transactions JOIN products USING (product_id)
    ), sums AS (
        SELECT date, customer_id, CAST(sum(amount) AS DOUBLE) AS total_amount, CAST(sum(qty) AS INT) AS total_items,
            CAST(count(DISTINCT product_id) AS INT) AS distinct_products
        FROM bought GROUP BY ALL
    ), items AS (SELECT date, customer_id, category, sum(qty) AS items FROM bought GROUP BY ALL),
    tops AS (SELECT date, customer_id, first(category ORDER BY items DESC, category) AS top_category FROM items GROUP BY ALL)
    SELECT sums.*, top_category FROM sums JOIN tops USING (date, customer_id)
    """
)
dates = [date for (date,) in db.sql("SELECT DISTINCT date FROM summaries").fetchall()]

endpoint = urlparse(os.environ.get("AWS_ENDPOINT_URL", ""))
s3 = fs.S3FileSystem(endpoint_override=endpoint.netloc or None, scheme=endpoint.scheme or "https")


def write(date):
    query = "SELECT * EXCLUDE (date) FROM summaries WHERE date = ? ORDER BY customer_id"
    day = db.cursor().execute(query, [date]).to_arrow_table()
    parquet.write_table(day, f"{prefix}/date={date}/part-0.parquet", filesystem=s3)


with ThreadPoolExecutor(4) as workers:
    list(workers.map(write, dates))

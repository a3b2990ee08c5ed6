# Prints what DuckDB finds in LAKE/txn_summary, as JSON; LAKE is the argument.
import glob, json, os, sys
import duckdb

folder = os.path.join(sys.argv[1], "txn_summary")
files = sorted(glob.glob(os.path.join(glob.escape(folder), "**", "*"), recursive=True))
files = [path for path in files if os.path.isfile(path)]
found = {"files": [os.path.relpath(path, folder) for path in files], "columns": [], "rows": [], "unsorted": 0}
if files:
    plain = duckdb.read_parquet(files, hive_partitioning=False)
    found["columns"] = list(zip(plain.columns, map(str, plain.types)))
    found["unsorted"] = duckdb.execute(
        """SELECT COUNT(*) FROM (SELECT customer_id, LAG(customer_id) OVER (PARTITION BY filename
           ORDER BY file_row_number) AS before FROM read_parquet(?, filename = true, file_row_number = true))
           WHERE before >= customer_id""", [files]).fetchone()[0]
    rows = duckdb.execute(
        """SELECT CAST(date AS VARCHAR), customer_id, total_amount, total_items, distinct_products, top_category
           FROM read_parquet(?, hive_partitioning = true)""", [files]).fetchall()
    found["rows"] = [[date, customer, repr(amount), *rest] for date, customer, amount, *rest in rows]
json.dump(found, sys.stdout)

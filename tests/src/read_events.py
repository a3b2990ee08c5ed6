# Prints what DuckDB finds in LAKE/events and LAKE/events_malformed, as JSON; LAKE is the argument.
import glob, json, os, sys
import duckdb

COLUMNS = {
    "events": """event_id, customer_id, event_type, product_id, epoch_us(event_timestamp),
        CAST(event_date AS VARCHAR), epoch_us(ingestion_timestamp)""",
    "events_malformed": """topic, partition, "offset", epoch_us(kafka_timestamp), lower(hex(key)), lower(hex(value)),
        reason, detail, CAST(ingest_date AS VARCHAR), epoch_us(ingestion_timestamp)""",
}
ORDERED_BY = {"events": "customer_id", "events_malformed": '"offset"'}
duckdb.execute("SET TimeZone = 'UTC'")
# On a busy machine the bar would be printed into the JSON.
duckdb.execute("SET enable_progress_bar = false")


def read(table):
    folder = os.path.join(sys.argv[1], table)
    everything = glob.glob(os.path.join(glob.escape(folder), "**", "*"), recursive=True)
    files = sorted(path for path in everything if os.path.isfile(path))
    if not files:
        return {"files": [], "columns": [], "rows": []}
    # The whole folder, as any reader would name it.
    pattern = os.path.join(glob.escape(folder), "**", "*")
    ordered = ORDERED_BY[table]
    unsorted = duckdb.execute(
        f"""SELECT COUNT(*) FROM (SELECT {ordered} AS now, LAG({ordered}) OVER (PARTITION BY filename
            ORDER BY file_row_number) AS before FROM read_parquet(?, filename = true, file_row_number = true))
            WHERE before > now""", [pattern]).fetchone()[0]
    groups = duckdb.execute("SELECT MAX(row_group_num_rows) FROM parquet_metadata(?)", [pattern]).fetchone()[0]
    labels = duckdb.execute(
        """SELECT file_name, decode(key), decode(value) FROM parquet_kv_metadata(?)
           WHERE starts_with(decode(key), 'tributary.')""", [pattern]).fetchall()
    rows = duckdb.execute(
        f"SELECT filename, {COLUMNS[table]} FROM read_parquet(?, hive_partitioning = true, filename = true)",
        [pattern]).fetchall()
    name = lambda path: os.path.relpath(path, folder)
    return {
        "files": [name(path) for path in files],
        "columns": duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = true)",
                                  [pattern]).fetchall(),
        "unsorted": unsorted,
        "largest_group": groups,
        "labels": [[name(path), key, value] for path, key, value in labels],
        "rows": [[name(row[0]), *row[1:]] for row in rows],
    }


json.dump({table: read(table) for table in COLUMNS}, sys.stdout)

"""Sets the scene for pipelines A and B: world.py COMMAND DB, the addresses from TEST_*.

create   the database and the keyspace, if they are missing
holds    exit 0 if the database has N transactions: world.py holds DB N
settle   fresh statistics, and nothing left to purge or to flush
cover    an index that holds all that pipeline A reads of a customer's rows
forget   world.py forget DB a|b: the pipeline has never run, and its target is empty
client   the arguments that bring the mariadb client there
drop     the database, the keyspace and what is in the lake
"""
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlparse

import pymysql
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import RoundRobinPolicy
from pyarrow import fs

MYSQL = urlparse(os.environ["TEST_MYSQL_URL"])
OFFSETS = {"a": "profile_offsets", "b": "txn_summary_offsets"}


def mysql(*statements):
    connection = pymysql.connect(
        host=MYSQL.hostname, port=MYSQL.port or 3306, user=MYSQL.username, password=MYSQL.password or "", autocommit=True
    )
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def cassandra(*statements):
    host, port = os.environ["TEST_CASSANDRA"].rsplit(":", 1)
    profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=120)
    cluster = Cluster([host], port=int(port), execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    session = cluster.connect()
    for statement in statements:
        session.execute(statement)
    cluster.shutdown()


def tables(database):
    rows = mysql(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{database}'")
    return {name for (name,) in rows}


def empty_lake(prefix):
    endpoint = urlparse(os.environ.get("AWS_ENDPOINT_URL", ""))
    s3 = fs.S3FileSystem(endpoint_override=endpoint.netloc or None, scheme=endpoint.scheme or "https")
    found = s3.get_file_info(fs.FileSelector(prefix, recursive=True, allow_not_found=True))
    files = [file.path for file in found if file.type == fs.FileType.File]
    # One by one: not every S3 takes a bulk request that names folders too.
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(s3.delete_file, files))


def forget(database, pipeline):
    standing = tables(database)
    statements = [f"DELETE FROM {database}.{OFFSETS[pipeline]}"] if OFFSETS[pipeline] in standing else []
    for table in {"etl_gaps", "etl_quarantine"} & standing:
        statements.append(f"DELETE FROM {database}.{table} WHERE pipeline = '{pipeline.upper()}'")
    mysql(*statements, "DO 0")
    if pipeline == "a":
        cassandra(f"DROP TABLE IF EXISTS {database}.customer_profile")
    else:
        empty_lake(f"{os.environ['TEST_S3_BUCKET']}/{database}")


def main():
    command, database, *more = sys.argv[1:]
    if command == "create":
        mysql(f"CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET utf8mb4")
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        cassandra(f"CREATE KEYSPACE IF NOT EXISTS {database} WITH replication = {replication}")
    elif command == "holds":
        there = "transactions" in tables(database)
        if not there or mysql(f"SELECT COUNT(*) FROM {database}.transactions")[0][0] < int(more[0]):
            sys.exit(1)
    elif command == "settle":
        names = ", ".join(f"{database}.{table}" for table in ("customers", "products", "transactions"))
        mysql(f"ANALYZE TABLE {names}", f"FLUSH TABLES {names}")
    elif command == "cover":
        columns = "customer_id, product_id, qty, amount, txn_timestamp"
        mysql(f"CREATE INDEX IF NOT EXISTS covering ON {database}.transactions ({columns})")
    elif command == "forget":
        forget(database, more[0])
    elif command == "client":
        print(f"--no-defaults -h{MYSQL.hostname} -P{MYSQL.port or 3306} -u{MYSQL.username} {database}")
    elif command == "drop":
        mysql(f"DROP DATABASE IF EXISTS {database}")
        cassandra(f"DROP KEYSPACE IF EXISTS {database}")
        empty_lake(f"{os.environ['TEST_S3_BUCKET']}/{database}")
        empty_lake(f"{os.environ['TEST_S3_BUCKET']}/{database}-script")
    else:
        sys.exit(__doc__)


main()

"""Paths for the load, one a line: paths.py seed|random|events CUSTOMERS [DB].

seed    the four of the first load test: a customer's profile, a day, one customer's day, a customer's events
random  the same four, of random customers, on random days of the last 30 in the summaries of DB
events  events of random customers, without dates
"""
import os
import random
import sys
from urllib.parse import urlparse

import pymysql

kind, customers, *database = sys.argv[1:]
random.seed(1)


def bought():
    """Day and customer of the last 30 days' transactions."""
    url = urlparse(os.environ["TEST_MYSQL_URL"])
    connection = pymysql.connect(
        host=url.hostname, port=url.port or 3306, user=url.username, password=url.password or "", database=database[0]
    )
    with connection, connection.cursor() as cursor:
        newest = "(SELECT MAX(txn_timestamp) FROM transactions)"
        cursor.execute(
            f"SELECT DISTINCT DATE(txn_timestamp), customer_id FROM transactions WHERE txn_timestamp > {newest} - INTERVAL 30 DAY"
        )
        return list(cursor.fetchall())


customer = lambda: random.randint(1, int(customers))
if kind == "events":
    print("\n".join(f"/events/{customer()}?limit=100" for _ in range(5000)))
else:
    days = bought()
    some = [random.choice(days) for _ in range(5000 if kind == "random" else 1)]
    paths = []
    for day, buyer in some:
        paths += [f"/customer/{customer()}", f"/summary/{day}", f"/events/{customer()}?limit=100", f"/summary/{day}/{buyer}"]
    print("\n".join(paths * (20 if kind == "seed" else 1)))

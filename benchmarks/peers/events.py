"""The events the usual way: events.py TOPIC BUCKET/PREFIX PARTITIONS, a process for each partition.

confluent-kafka reads, fastavro decodes, pyarrow writes a file a date and flush to S3. As such scripts are: the offsets
are committed after the files, so a crash between leaves rows twice; no judging, no rewriting of small files.
"""
import io
import json
import os
import struct
import sys
from datetime import datetime, timezone
from multiprocessing import get_context
from urllib.parse import urlparse

FLUSH_ROWS = 500_000


def work(topic, prefix, partition):
    import fastavro
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import requests
    from confluent_kafka import Consumer, TopicPartition
    from pyarrow import fs

    endpoint = urlparse(os.environ["AWS_ENDPOINT_URL"])
    store = fs.S3FileSystem(endpoint_override=endpoint.netloc, scheme=endpoint.scheme)
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["TEST_KAFKA_BROKERS"],
            "group.id": f"{topic}-script",
            "enable.auto.commit": False,
            "queued.min.messages": 200_000,
            "queued.max.messages.kbytes": 131_072,
            "fetch.message.max.bytes": 8_388_608,
        }
    )
    place = TopicPartition(topic, partition, 0)
    end = consumer.get_watermark_offsets(place, timeout=10)[1]
    consumer.assign([place])
    schemas, rows, malformed, read, flushes = {}, ([], [], [], [], []), 0, 0, 0

    def schema(id):
        if id not in schemas:
            text = requests.get(f"{os.environ['TEST_REGISTRY_URL']}/schemas/ids/{id}", timeout=10).json()["schema"]
            schemas[id] = fastavro.parse_schema(json.loads(text))
        return schemas[id]

    def flush():
        ids, customers, types, products, stamps = rows
        at = pc.strptime(pc.utf8_slice_codeunits(pa.array(stamps), 0, 19), "%Y-%m-%dT%H:%M:%S", "us", error_is_null=True)
        at = pc.if_else(pc.is_null(at), datetime.now(), at).cast(pa.timestamp("us", "UTC"))
        products = pa.array(products, pa.int32())
        table = pa.table(
            {
                "event_id": ids,
                "customer_id": pa.array(customers, pa.int32()),
                "event_type": types,
                "product_id": pc.if_else(pc.less(products, 0), None, products),
                "event_timestamp": at,
                "ingestion_timestamp": pa.repeat(pa.scalar(datetime.now(timezone.utc), pa.timestamp("us", "UTC")), len(ids)),
            }
        )
        days = pc.cast(at, pa.date32())
        for day in pc.unique(days).to_pylist():
            path = f"{prefix}/events/event_date={day}/{partition}-{flushes:05d}.parquet"
            pq.write_table(table.filter(pc.equal(days, day)), path, filesystem=store, compression="snappy")
        consumer.commit(offsets=consumer.position([place]), asynchronous=False)

    while read < end:
        for message in consumer.consume(10_000, 1.0):
            value, read = message.value(), read + 1
            try:
                magic, id = struct.unpack_from(">bI", value)
                if magic:
                    raise ValueError("not framed")
                event = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema(id), None)
                for column, field in zip(rows, ("event_id", "customer_id", "event_type", "product_id", "event_timestamp")):
                    column.append(event[field])
            except Exception:
                malformed += 1
        if len(rows[0]) >= FLUSH_ROWS:
            flush()
            rows, flushes = ([], [], [], [], []), flushes + 1
    flush()
    consumer.close()
    return read, read - malformed


if __name__ == "__main__":
    topic, prefix, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with get_context("spawn").Pool(partitions) as pool:
        done = pool.starmap(work, [(topic, prefix, partition) for partition in range(partitions)])
    read, written = map(sum, zip(*done))
    print(json.dumps({"status": "ok", "read": read, "written": written}))

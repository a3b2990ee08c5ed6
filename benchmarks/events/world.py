"""What the benchmark of pipeline C works on: world.py make|drop TOPIC PARTITIONS, or world.py forget LAKE."""
import os
import sys
from urllib.parse import urlparse

from confluent_kafka.admin import AdminClient, NewTopic
from pyarrow import fs

action, name = sys.argv[1:3]
if action == "forget":
    endpoint = urlparse(os.environ["AWS_ENDPOINT_URL"])
    store = fs.S3FileSystem(endpoint_override=endpoint.netloc, scheme=endpoint.scheme)
    path = name.removeprefix("s3://")
    # Not every store can remove a folder.
    for found in store.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True)):
        if found.is_file:
            store.delete_file(found.path)
else:
    admin = AdminClient({"bootstrap.servers": os.environ["TEST_KAFKA_BROKERS"]})
    if action == "make":
        wanted = admin.create_topics([NewTopic(name, int(sys.argv[3]), 1)])
    else:
        wanted = admin.delete_topics([name])
    wanted[name].result(30)

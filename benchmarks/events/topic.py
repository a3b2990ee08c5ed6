"""Makes or drops a benchmark's topic: topic.py BROKERS make|drop TOPIC PARTITIONS"""
import sys

from confluent_kafka.admin import AdminClient, NewTopic

brokers, action, topic, partitions = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": brokers})
made = admin.create_topics([NewTopic(topic, int(partitions), 1)]) if action == "make" else admin.delete_topics([topic])
made[topic].result(30)

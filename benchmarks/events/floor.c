/* The floor: librdkafka consumes a topic's partitions in batches and throws the records away.
 *
 *   floor BROKERS TOPIC PARTITIONS RECORDS
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

static void refuse(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

int main(int count, char **arguments) {
  if (count != 5) refuse("floor", "BROKERS TOPIC PARTITIONS RECORDS");
  const char *settings[][2] = {{"bootstrap.servers", arguments[1]},
                               {"group.id", "benchmark-floor"},
                               {"queued.min.messages", "1000000"},
                               {"queued.max.messages.kbytes", "262144"},
                               {"fetch.message.max.bytes", "8388608"}};
  char error[512];
  rd_kafka_conf_t *config = rd_kafka_conf_new();
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    if (rd_kafka_conf_set(config, settings[i][0], settings[i][1], error, sizeof error)) refuse(settings[i][0], error);
  rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, config, error, sizeof error);
  if (!client) refuse("librdkafka", error);
  rd_kafka_topic_t *topic = rd_kafka_topic_new(client, arguments[2], NULL);
  rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
  for (int partition = 0; partition < atoi(arguments[3]); partition++)
    if (rd_kafka_consume_start_queue(topic, partition, RD_KAFKA_OFFSET_BEGINNING, queue)) refuse("consume", arguments[2]);

  static rd_kafka_message_t *messages[10000];
  long long wanted = atoll(arguments[4]), records = 0, bytes = 0;
  while (records < wanted) {
    ssize_t got = rd_kafka_consume_batch_queue(queue, 1000, messages, 10000);
    for (ssize_t i = 0; i < got; i++) {
      if (!messages[i]->err) records++, bytes += (long long)messages[i]->len;
      rd_kafka_message_destroy(messages[i]);
    }
  }
  printf("%lld records, %lld bytes\n", records, bytes);
  fflush(stdout);
  _Exit(0); /* leaving properly takes longer than reading, and is not what is measured */
}

#!/bin/bash
# The embedded engine in a program of a page that hands its batches to a Kafka producer.
set -e
. "$(dirname "$0")/connector.sh"
{
  connector_settings
  echo offset.storage=org.apache.kafka.connect.storage.FileOffsetBackingStore
  echo "offset.storage.file.filename=$RUN_DIR/offsets.dat"
  echo offset.flush.interval.ms=10000
  echo key.converter.schemas.enable=false
  echo value.converter.schemas.enable=false
  echo converter.schemas.enable=false
} > "$RUN_DIR/engine.properties"
printf '%s\n' "bootstrap.servers=$KAFKA" acks=all $PRODUCER_SETTINGS > "$RUN_DIR/producer.properties"
begin_at_position
exec java $JVM -cp "$PEER_HOME/classes:$PEER_HOME/embedded/*:$PEER_HOME/plugins/debezium-mysql/*:$PEER_HOME/worker/*" \
  Embedded "$RUN_DIR/engine.properties" "$RUN_DIR/producer.properties"

#!/bin/bash
# In Kafka Connect, standalone, with the JVM options of its own start script.
set -e
. "$(dirname "$0")/connector.sh"
cat > "$RUN_DIR/worker.properties" << SETTINGS
bootstrap.servers=$KAFKA
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter.schemas.enable=false
offset.storage.file.filename=$RUN_DIR/offsets.dat
offset.flush.interval.ms=10000
plugin.path=$PEER_HOME/plugins
plugin.discovery=service_load
connector.client.config.override.policy=All
listeners=http://127.0.0.1:0
SETTINGS
connector_settings > "$RUN_DIR/connector.properties"
printf 'producer.override.%s\n' $PRODUCER_SETTINGS >> "$RUN_DIR/connector.properties"
echo tasks.max=1 >> "$RUN_DIR/connector.properties"
begin_at_position
exec java $JVM -server -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent \
  -Djava.awt.headless=true -cp "$PEER_HOME/worker/*" org.apache.kafka.connect.cli.ConnectStandalone \
  "$RUN_DIR/worker.properties" "$RUN_DIR/connector.properties"

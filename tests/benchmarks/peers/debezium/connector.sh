# The connector's settings, the same for both ways of running it.  The batch, queue and poll sizes are those that its
# manual names for throughput: a larger max.batch.size, max.queue.size several times that, a short poll.interval.ms.
connector_settings() {
  cat << SETTINGS
name=bench
connector.class=io.debezium.connector.mysql.MySqlConnector
database.hostname=$MYSQL_HOST
database.port=$MYSQL_PORT
database.user=$MYSQL_USER
database.password=$MYSQL_PASSWORD
database.server.id=$SERVER_ID
database.ssl.mode=disabled
driver.allowPublicKeyRetrieval=true
topic.prefix=$PREFIX
database.include.list=$SCHEMA
table.include.list=$SCHEMA.*
include.schema.changes=false
# the offset file says where to begin; this only makes the schema history anew, from the server
snapshot.mode=recovery
schema.history.internal=io.debezium.storage.file.history.FileSchemaHistory
schema.history.internal.file.filename=$RUN_DIR/schema-history.dat
schema.history.internal.store.only.captured.tables.ddl=true
max.batch.size=16384
max.queue.size=65536
poll.interval.ms=10
SETTINGS
}

begin_at_position() {
  java -Xmx64m -XX:TieredStopAtLevel=1 -cp "$PEER_HOME/classes" OffsetFile \
    "$RUN_DIR/offsets.dat" "$PREFIX" "$BINLOG_FILE" "$BINLOG_POSITION" "$GTID_SET"
}

PRODUCER_SETTINGS="linger.ms=20 batch.size=524288 buffer.memory=134217728 compression.type=lz4"
JVM="-Xms256m -Xmx2g -XX:+UseG1GC -Dlog4j2.configurationFile=file:$(dirname "$0")/log4j2.properties"

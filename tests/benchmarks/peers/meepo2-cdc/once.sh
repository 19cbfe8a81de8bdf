#!/bin/bash
# The same up to what is the end of the log now, into topics of one partition.
export MEEPO2_SOURCE_DSN="mysql://$MYSQL_USER:$MYSQL_PASSWORD@$MYSQL_HOST:$MYSQL_PORT/"
export MEEPO2_KAFKA_BOOTSTRAP_SERVERS=$KAFKA MEEPO2_PREFIX=$PREFIX MEEPO2_TABLES="$SCHEMA.*" MEEPO2_TOPICS_PARTITIONS=1
exec "${PYTHON%/*}/meepo2-cdc" capture --once --start "$BINLOG_FILE:$BINLOG_POSITION" --server-id "$SERVER_ID"

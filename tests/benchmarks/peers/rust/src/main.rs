//! What a Rust team would write: the mysql_cdc crate, serde_json, rdkafka.
//! One message a row, keyed by the primary key; idempotent producer, acks=all.

use mysql_cdc::binlog_client::BinlogClient;
use mysql_cdc::binlog_options::BinlogOptions;
use mysql_cdc::events::binlog_event::BinlogEvent;
use mysql_cdc::events::row_events::mysql_value::MySqlValue;
use mysql_cdc::events::row_events::row_data::RowData;
use mysql_cdc::events::table_map_event::TableMapEvent;
use mysql_cdc::replica_options::ReplicaOptions;
use mysql_cdc::ssl_mode::SslMode;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, ProducerContext};
use rdkafka::{ClientContext, Message};
use serde_json::{json, Map, Value};
use std::collections::HashMap;
use std::time::Duration;

struct Table {
    schema: String,
    name: String,
    columns: Vec<String>,
    key: Vec<usize>,
    topic: String,
}

impl Table {
    fn new(map: &TableMapEvent, prefix: &str) -> Table {
        let metadata = map.table_metadata.as_ref();
        let key = metadata.and_then(|m| m.simple_primary_keys.clone()).unwrap_or_default();
        Table {
            schema: map.database_name.clone(),
            name: map.table_name.clone(),
            columns: metadata.and_then(|m| m.column_names.clone()).unwrap_or_default(),
            key: key.into_iter().map(|n| n as usize).collect(),
            topic: format!("{prefix}.{}.{}", map.database_name, map.table_name),
        }
    }

    fn key_of(&self, row: &RowData) -> String {
        Value::Array(self.key.iter().map(|n| value(&row.cells[*n])).collect()).to_string()
    }

    fn object(&self, row: &RowData) -> Value {
        let mut object = Map::with_capacity(row.cells.len());
        for (name, cell) in self.columns.iter().zip(&row.cells) {
            object.insert(name.clone(), value(cell));
        }
        Value::Object(object)
    }
}

fn value(cell: &Option<MySqlValue>) -> Value {
    match cell {
        None => Value::Null,
        Some(MySqlValue::TinyInt(x)) => json!(*x as i8),
        Some(MySqlValue::SmallInt(x)) => json!(*x as i16),
        Some(MySqlValue::MediumInt(x)) => json!(x),
        Some(MySqlValue::Int(x)) => json!(*x as i32),
        Some(MySqlValue::BigInt(x)) => json!(*x as i64),
        Some(MySqlValue::Float(x)) => json!(x),
        Some(MySqlValue::Double(x)) => json!(x),
        Some(MySqlValue::Decimal(x)) | Some(MySqlValue::String(x)) => json!(x),
        Some(MySqlValue::Enum(x)) => json!(x),
        Some(MySqlValue::Set(x)) => json!(x),
        Some(MySqlValue::Year(x)) => json!(x),
        Some(MySqlValue::Timestamp(x)) => json!(x),
        Some(MySqlValue::Blob(raw)) => Value::String(String::from_utf8_lossy(raw).into_owned()),
        Some(MySqlValue::DateTime(d)) => json!(format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}",
            d.year, d.month, d.day, d.hour, d.minute, d.second, d.millis
        )),
        Some(MySqlValue::Date(d)) => json!(format!("{:04}-{:02}-{:02}", d.year, d.month, d.day)),
        Some(other) => json!(format!("{other:?}")),
    }
}

/// Ends the process at the first message that is not delivered.
struct Delivered;

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, message)) = result {
            eprintln!("a message was not delivered: {error}, {:?}", message.key());
            std::process::exit(1);
        }
    }
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn new_producer() -> BaseProducer<Delivered> {
    ClientConfig::new()
        .set("bootstrap.servers", setting("KAFKA"))
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "10")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "100000")
        .set("compression.type", "lz4")
        .create_with_context(Delivered)
        .expect("a producer")
}

fn send(producer: &BaseProducer<Delivered>, topic: &str, key: &str, payload: &str) {
    let mut record = BaseRecord::to(topic).key(key).payload(payload);
    while let Err((error, refused)) = producer.send(record) {
        match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => producer.poll(Duration::from_millis(5)),
            _ => panic!("produce: {error}"),
        };
        record = refused;
    }
}

type Images<'a> = Vec<(Option<&'a RowData>, Option<&'a RowData>)>;

fn images(event: &BinlogEvent) -> Option<(u64, Images<'_>)> {
    match event {
        BinlogEvent::WriteRowsEvent(e) => Some((e.table_id, e.rows.iter().map(|r| (None, Some(r))).collect())),
        BinlogEvent::DeleteRowsEvent(e) => Some((e.table_id, e.rows.iter().map(|r| (Some(r), None)).collect())),
        BinlogEvent::UpdateRowsEvent(e) => Some((
            e.table_id,
            e.rows.iter().map(|r| (Some(&r.before_update), Some(&r.after_update))).collect(),
        )),
        _ => None,
    }
}

fn main() {
    let (schema, prefix) = (setting("SCHEMA"), setting("PREFIX"));
    let mut client = BinlogClient::new(ReplicaOptions {
        hostname: setting("MYSQL_HOST"),
        port: setting("MYSQL_PORT").parse().unwrap(),
        username: setting("MYSQL_USER"),
        password: setting("MYSQL_PASSWORD"),
        blocking: true,
        server_id: setting("SERVER_ID").parse().unwrap(),
        ssl_mode: SslMode::Disabled,
        binlog: BinlogOptions::from_position(setting("BINLOG_FILE"), setting("BINLOG_POSITION").parse().unwrap()),
        ..Default::default()
    });
    let producer = new_producer();
    let mut tables: HashMap<u64, Table> = HashMap::new();
    for result in client.replicate().expect("a dump of the log") {
        let (header, event) = result.expect("an event");
        if let BinlogEvent::TableMapEvent(map) = &event {
            if map.database_name == schema {
                tables.insert(map.table_id, Table::new(map, &prefix));
            }
        } else if let Some((id, rows)) = images(&event) {
            let Some(table) = tables.get(&id) else { continue };
            for (before, after) in rows {
                let op = match (before, after) { (None, _) => "c", (_, None) => "d", _ => "u" };
                let payload = json!({
                    "before": before.map(|row| table.object(row)),
                    "after": after.map(|row| table.object(row)),
                    "op": op,
                    "source": {"db": table.schema, "table": table.name, "pos": header.next_event_position,
                               "ts_ms": header.timestamp as u64 * 1000},
                });
                send(&producer, &table.topic, &table.key_of(after.or(before).unwrap()), &payload.to_string());
            }
        }
        producer.poll(Duration::ZERO);
    }
}

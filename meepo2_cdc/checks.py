"""
What is looked at before something runs: the result of one check, and what each check is about.

Knows no server; who looks is in capture/binlog/preflight.py, capture/kafka_preflight.py and replay/preflight.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, whether it will do, and what to run when it will not."""

    name: str
    found: str
    passed: bool
    advice: bool = False
    fix: str = ""

    @property
    def state(self) -> str:
        return "ok" if self.passed else "note" if self.advice else "FAIL"


@dataclass(frozen=True, slots=True)
class About:
    """What a check looks at, why it matters, and how what it finds is mended."""

    what: str
    why: str
    mend: str


CHECKS = {
    "source": About(
        "Whether the server of [source] answers, and what it is.",
        "Nothing else can be asked of it otherwise.",
        "See source.dsn and source.tls_mode; the message is the server's own. A server that asks for a certificate"
        " or a password says so.",
    ),
    "log-bin": About(
        "log_bin: whether the server writes a binary log at all.",
        "The capture reads that log, and nothing else tells of changes.",
        "Add log_bin and server_id to the server's configuration, and restart it. Managed servers have it switched on"
        " together with backups.",
    ),
    "binlog-format": About(
        "binlog_format of the server: ROW is needed.",
        "Other formats log statements, which do not tell which rows they changed. A capture that meets one stops.",
        "SET PERSIST binlog_format = ROW (SET GLOBAL on MariaDB, and in its configuration). Sessions that are open"
        " keep the old value: let applications connect anew.",
    ),
    "session-formats": About(
        "Sessions that are open now with a binlog_format of their own (MySQL; performance_schema must be readable).",
        "The server's setting is right, and one such session still logs statements: its changes cannot be read.",
        "Find them in performance_schema.variables_by_thread, and end them or mend the application that sets it.",
    ),
    "binlog-row-image": About(
        "binlog_row_image: FULL, NOBLOB, or MariaDB's FULL_NODUP.",
        "With MINIMAL an update's new row may leave its key out.",
        "SET PERSIST binlog_row_image = FULL. Rows of sessions that keep MINIMAL are read all the same where that is"
        " possible.",
    ),
    "row-metadata": About(
        "binlog_row_metadata: FULL is better, all others will do.",
        "With FULL each row comes with its table's columns and key as they were then. Without it they are looked up"
        " in information_schema as they are now, so rows of a table that was altered or dropped meanwhile may be"
        " unreadable.",
        "SET PERSIST binlog_row_metadata = FULL; it holds for what is logged from then on, and costs some bytes for"
        " each table in each transaction.",
    ),
    "log-compression": About(
        "Whether the server compresses its log (binlog_transaction_compression, MariaDB's log_bin_compress).",
        "Compressed logs are read as any others. They cost the capture more CPU and less network.",
        "Nothing needs to be done.",
    ),
    "log-filters": About(
        "binlog_do_db and binlog_ignore_db: schemas that the server leaves out of its log.",
        "Changes of such a schema are nowhere: nobody can capture them, and nothing tells that they are missing.",
        "Remove the filters from the server's configuration and restart it, or leave those schemas out of tables.",
    ),
    "replica-updates": About(
        "log_replica_updates of a server that is itself a replica.",
        "Without it the log holds what clients of this server changed, not what came from its own source.",
        "Set log_replica_updates = ON (MariaDB: log_slave_updates) in its configuration and restart it, or capture"
        " its source.",
    ),
    "log-retention": About(
        "How long the server keeps its log, against capture.expected_downtime_seconds.",
        "A capture that is away for longer than that finds its position purged (exit code 3), and there is a gap.",
        "Raise binlog_expire_logs_seconds (expire_logs_days on old servers; a provider's own procedure on managed"
        " ones), or lower capture.expected_downtime_seconds if nobody needs so long to mend it. See also the metric"
        " meepo2_cdc_source_retention_left_seconds.",
    ),
    "gtid-mode": About(
        "gtid_mode of MySQL. (MariaDB always has global ids.)",
        "Without GTIDs the checkpoint is a file and an offset of this one server, and of no use after a failover.",
        "Switch gtid_mode on, step by step as MySQL's manual says. The capture follows the change while it runs.",
    ),
    "visibility": About(
        "Whether what is in the log can be compared with what the engine has committed.",
        "A server logs a transaction before its engine commits it. With global ids nothing is published before it"
        " can be read; MySQL without them tells nothing of that, so a consumer that reads the row at once may get"
        " the old one.",
        "Switch gtid_mode on, or let consumers wait for a moment before they read rows.",
    ),
    "rows-row-metadata": About(
        "binlog_row_metadata, where [[capture.rows]] publishes rows.",
        "Values are published by their columns' names, and only FULL logs those.",
        "SET PERSIST binlog_row_metadata = FULL.",
    ),
    "rows-row-image": About(
        "binlog_row_image, where [[capture.rows]] publishes rows.",
        "What is not in the log cannot be published.",
        "SET PERSIST binlog_row_image = FULL; let applications connect anew.",
    ),
    "rows-row-value-options": About(
        "binlog_row_value_options, where [[capture.rows]] publishes rows.",
        "With PARTIAL_JSON the log holds how a document changed, in place of the document.",
        "SET PERSIST binlog_row_value_options = ''; let applications connect anew.",
    ),
    "replication-slave": About(
        "The grant REPLICATION SLAVE.",
        "The server sends its log to accounts that have it.",
        "GRANT REPLICATION SLAVE ON *.* TO the account.",
    ),
    "replication-client": About(
        "The grant REPLICATION CLIENT (MySQL).",
        "It allows to ask where the log ends and which files there are.",
        "GRANT REPLICATION CLIENT ON *.* TO the account.",
    ),
    "binlog-monitor": About(
        "The grant BINLOG MONITOR (MariaDB's name of REPLICATION CLIENT).",
        "It allows to ask where the log ends and which files there are.",
        "GRANT BINLOG MONITOR ON *.* TO the account.",
    ),
    "server-id": About(
        "The server's server_id, and the one with which the capture registers.",
        "Two replicas with one number throw each other out, again and again; a server with 0 sends its log to nobody.",
        "Set another source.server_id, or give the server one.",
    ),
    "source-clock": About(
        "The source's clock against this machine's, with the time of the question allowed for.",
        "Lag is the difference of the two, and a record's time is the source's: a clock that is wrong gives lags"
        " below zero, wrong alerts, and wrong answers to --from-timestamp.",
        "Let both be kept by NTP (timedatectl, chronyc tracking).",
    ),
    "tables": About(
        "Whether a table matches the patterns in tables.",
        "A pattern with a typing error captures nothing, and an account without SELECT sees no tables.",
        "See tables in the settings (MEEPO2_TABLES), and GRANT SELECT on the schemas.",
    ),
    "online-ddl": About(
        "Tables that are left out since they are named like the copies of gh-ost and pt-online-schema-change.",
        "Each row of an altered table would come once more, as a row of its copy.",
        "Nothing, if they are copies. To capture one that is not, name it in tables with its underscore.",
    ),
    "primary-keys": About(
        "Captured tables without a primary key.",
        "A record is a key. Their changes are counted and passed over.",
        "ALTER TABLE ... ADD PRIMARY KEY, or leave them out in tables.",
    ),
    "cascades": About(
        "Captured tables whose rows are changed by foreign keys: ON DELETE or ON UPDATE, CASCADE or SET NULL.",
        "InnoDB does that by itself, and the log has no trace of it (before MySQL 9.6).",
        "Use RESTRICT and let the application delete the children, or let consumers of the parent take care of them.",
    ),
    "kafka": About(
        "Whether a broker of bootstrap.servers answers.",
        "Nothing else can be asked of it otherwise.",
        "See bootstrap.servers, security.protocol, sasl.* and ssl.* under [kafka].",
    ),
    "kafka-create": About(
        "Whether Kafka would make the topics that the capture needs. It is asked to try, and to make none.",
        "Topics are made when a table's first row comes. A right that lacks, or a policy of the cluster, ends the"
        " capture then.",
        "With ACLs: Create on the prefix. See topics.replication_factor, topics.partitions and the cluster's policies.",
    ),
    "kafka-rights": About(
        "What Kafka lets this account do with the topics of the prefix that are there.",
        "The capture writes to data topics and to the checkpoint's, and reads them.",
        "With ACLs: Write, Read and Describe on the prefix, and Write and Describe on the transactional id"
        " PREFIX.SOURCE; Read on the group of the lock for --standby.",
    ),
    "kafka-clock": About(
        "Kafka's clock against this machine's; only with --write, since Kafka tells its time to who writes only.",
        "Records carry the source's time. Brokers remove what is older than the retention by their own clock, and"
        " refuse what is more than message.timestamp.after.max.ms ahead of it.",
        "Let the brokers be kept by NTP.",
    ),
    "topics": About(
        "How many data topics of the prefix there are.",
        "A number that is not what you think shows a prefix or a template that is not what you think.",
        "See prefix and topics.template.",
    ),
    "topic-retention": About(
        "retention.ms of the data topics, where they are not only compacted.",
        "Records carry the time of the source's commit. What is older than the retention when it arrives, from a"
        " capture that is behind or from --start earliest, is removed by the broker at once.",
        "kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config retention.ms=-1",
    ),
    "topic-cleanup": About(
        "cleanup.policy of the data topics, against topics.cleanup_policy.",
        "Topics that are there are left as they are. The capture writes tombstones by its setting: a compacted topic"
        " without them keeps deleted keys for ever, and one with them that is not compacted holds them for nothing.",
        "Set topics.cleanup_policy to what the topics have, or alter the topics.",
    ),
    "topic-timestamps": About(
        "message.timestamp.type and its bounds of the data topics.",
        "With LogAppendTime records lose the source's time, and --from-timestamp means another one. A bound"
        " message.timestamp.before.max.ms makes the broker refuse old changes, which ends the capture.",
        "Alter the topics: message.timestamp.type=CreateTime, and no message.timestamp.before.max.ms.",
    ),
    "topic-partitions": About(
        "How many partitions the data topics have, against topics.partitions.",
        "The setting counts for new topics only. Adding partitions to an old one moves keys to other partitions, so"
        " that the order of a key's records is lost over that moment.",
        "Nothing needs to be done; set topics.partitions to what is there, or move to a new prefix.",
    ),
    "topic-size": About(
        "max.message.bytes of the topics, against the largest record that [[capture.rows]] may write.",
        "A record that the broker refuses ends the capture.",
        "Raise max.message.bytes of the topics, or lower max_bytes of [[capture.rows]].",
    ),
    "checkpoint-topic": About(
        "The settings of the checkpoint's topic: one partition, compacted, nothing removed for its age.",
        "If the broker removes the last checkpoint, the next start is exit code 3.",
        "kafka-configs.sh --alter ... --add-config cleanup.policy=compact",
    ),
    "schema-registry": About(
        "Whether the schema registry answers.",
        "With one set, the first record of each topic needs it.",
        "See schema_registry_url (MEEPO2_SCHEMA_REGISTRY_URL).",
    ),
    "registry-compatibility": About(
        "Whether the registry takes the released schemas under the subjects of the topics that are there.",
        "A subject that somebody else uses, or a rule that refuses them, ends the capture at the first record.",
        "Look at the subject's versions; remove what is not ours, or set its compatibility to BACKWARD or NONE.",
    ),
    "connector": About(
        "Whether each connector that is set up, by a section of the file or by a variable, can be run.",
        "It opens its sink as at its start, applies nothing, and closes it. One that listens on an address is not"
        " opened, since it may be running.",
        "The message is the connector's own; see its settings, and `meepo2-cdc connectors` for what is not installed.",
    ),
}


def unknown(name: str) -> str:
    """What to say of a name that no check has."""
    from difflib import get_close_matches

    near = get_close_matches(name, CHECKS, n=1)
    return f"there is no check {name!r}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(CHECKS)}")

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads records of meepo2-cdc with Kafka's and Avro's own Java, and prints each as one line of JSON.
 *
 *   Reader golden --schemas DIR
 *   Reader topic  --schemas DIR --bootstrap HOST:PORT --topic NAME [--registry URL] [--isolation read_committed]
 *
 * Knows the schema files and README.md beside them, and nothing of the Python program: that is what it is for.
 */
public class Reader {
    static final ObjectMapper JSON = new ObjectMapper();
    static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    static final DateTimeFormatter MICROS =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS'Z'").withZone(ZoneOffset.UTC);

    /** v2 before v10. */
    static final Comparator<Path> SHORTER_FIRST =
            Comparator.comparing((Path file) -> file.toString().length()).thenComparing(Comparator.naturalOrder());

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int i = 1; i + 1 < arguments.length; i += 2) {
            options.put(arguments[i], arguments[i + 1]);
        }
        Path schemas = Path.of(options.get("--schemas"));
        if (arguments[0].equals("golden")) {
            readGolden(schemas);
        } else {
            readTopic(schemas, options);
        }
        OUT.flush();
    }

    /** Every golden .bin file of every record: its path below DIR, and what Avro's Java finds in it. */
    static void readGolden(Path schemas) throws IOException {
        for (String name : List.of("table_action", "table_key", "checkpoint", "relay_checkpoint", "row_change")) {
            Decoder decoder = new Decoder(schemas, name, null);
            for (Path file : sorted(schemas.resolve(name).resolve("golden"), ".bin")) {
                Map<String, Object> line = new LinkedHashMap<>();
                line.put("file", schemas.relativize(file).toString());
                line.put("record", fields(decoder.decode(Files.readAllBytes(file))));
                print(line);
            }
        }
    }

    /** The topic from its beginning to where it ended when we came, partition by partition. */
    static void readTopic(Path schemas, Map<String, String> options) throws IOException {
        Decoder values = new Decoder(schemas, "table_action", options.get("--registry"));
        Decoder keys = new Decoder(schemas, "table_key", options.get("--registry"));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(options)) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(options.get("--topic"))
                    .forEach(found -> partitions.add(new TopicPartition(found.topic(), found.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
                for (ConsumerRecord<byte[], byte[]> found : consumer.poll(Duration.ofSeconds(1))) {
                    if (found.offset() < ends.get(new TopicPartition(found.topic(), found.partition()))) {
                        print(line(found, keys, values, partitions.size()));
                    }
                }
            }
        }
    }

    static KafkaConsumer<byte[], byte[]> consumer(Map<String, String> options) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", options.get("--bootstrap"));
        settings.put("isolation.level", options.getOrDefault("--isolation", "read_committed"));
        settings.put("enable.auto.commit", false);
        settings.put("fetch.max.wait.ms", 10);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** What `replay --json` prints, then the key, and the partition that Java's own producer gives this key. */
    static Map<String, Object> line(
            ConsumerRecord<byte[], byte[]> found, Decoder keys, Decoder values, int partitions) throws IOException {
        Map<String, Object> line = new LinkedHashMap<>();
        if (found.value() == null) {
            line.put("tombstone", true);
        } else {
            line.putAll(fields(values.decode(found.value())));
        }
        line.put("topic", found.topic());
        line.put("partition", found.partition());
        line.put("offset", found.offset());
        line.put("key", fields(keys.decode(found.key())));
        line.put("java_partition", BuiltInPartitioner.partitionForKey(found.key(), partitions));
        return line;
    }

    static void print(Map<String, Object> line) throws IOException {
        OUT.println(JSON.writeValueAsString(line));
    }

    static List<Path> sorted(Path folder, String ending) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> file.toString().endsWith(ending)).sorted(SHORTER_FIRST).toList();
        }
    }

    /** A record of one kind out of its bytes, in either framing. */
    static class Decoder {
        private final Schema newest;
        private final BinaryMessageDecoder<GenericRecord> singleObject;
        private final String registry;
        private final Map<Integer, GenericDatumReader<GenericRecord>> byId = new HashMap<>();

        Decoder(Path schemas, String name, String registry) throws IOException {
            List<Schema> versions = new ArrayList<>();
            for (Path file : sorted(schemas.resolve(name), ".avsc")) {
                versions.add(new Schema.Parser().parse(Files.readString(file)));
            }
            this.newest = versions.get(versions.size() - 1);
            this.singleObject = new BinaryMessageDecoder<>(GenericData.get(), newest);
            versions.forEach(singleObject::addSchema);
            this.registry = registry;
        }

        GenericRecord decode(byte[] raw) throws IOException {
            if (raw[0] != 0) {
                return singleObject.decode(raw);
            }
            int id = ByteBuffer.wrap(raw, 1, 4).getInt();
            GenericDatumReader<GenericRecord> reader = byId.computeIfAbsent(id, this::ask);
            return reader.read(null, DecoderFactory.get().binaryDecoder(raw, 5, raw.length - 5, null));
        }

        private GenericDatumReader<GenericRecord> ask(int id) {
            try {
                HttpRequest request = HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id)).build();
                String answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
                Schema writtenAs = new Schema.Parser().parse(JSON.readTree(answer).get("schema").asText());
                return new GenericDatumReader<>(writtenAs, newest);
            } catch (IOException | InterruptedException error) {
                throw new IllegalStateException("no schema " + id + " from " + registry, error);
            }
        }
    }

    static Map<String, Object> fields(GenericRecord record) {
        Map<String, Object> found = new LinkedHashMap<>();
        for (Schema.Field field : record.getSchema().getFields()) {
            found.put(field.name(), plain(record.get(field.pos()), field.schema()));
        }
        return found;
    }


    /** An Avro value as JSON has it: bytes as {"base64": ...}, times in ISO 8601. */
    static Object plain(Object value, Schema schema) {
        switch (schema.getType()) {
            case UNION:
                return plain(value, schema.getTypes().get(GenericData.get().resolveUnion(schema, value)));
            case RECORD:
                return fields((GenericRecord) value);
            case ARRAY:
                return ((List<?>) value).stream().map(one -> plain(one, schema.getElementType())).toList();
            case MAP:
                Map<String, Object> values = new LinkedHashMap<>();
                ((Map<?, ?>) value).forEach((name, one) -> values.put(name.toString(), plain(one, schema.getValueType())));
                return values;
            case BYTES:
                return Map.of("base64", Base64.getEncoder().encodeToString(bytes((ByteBuffer) value)));
            case STRING:
            case ENUM:
                return value.toString();
            default:
                return schema.getLogicalType() == null ? value : time((Long) value);
        }
    }

    static byte[] bytes(ByteBuffer value) {
        byte[] copy = new byte[value.remaining()];
        value.duplicate().get(copy);
        return copy;
    }

    static String time(long micros) {
        return MICROS.format(Instant.EPOCH.plus(micros, ChronoUnit.MICROS));
    }
}

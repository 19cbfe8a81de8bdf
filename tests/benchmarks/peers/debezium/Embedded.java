import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.JsonByteArray;
import java.io.FileInputStream;
import java.io.IOException;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The embedded engine with a Kafka producer, as Debezium Server's sink does it: send a batch, wait, mark it done. */
public class Embedded {
    private final KafkaProducer<byte[], byte[]> producer;

    private Embedded(Properties kafka) {
        producer = new KafkaProducer<>(kafka, new ByteArraySerializer(), new ByteArraySerializer());
    }

    public static void main(String[] arguments) throws Exception {
        Embedded sink = new Embedded(properties(arguments[1]));
        DebeziumEngine<ChangeEvent<byte[], byte[]>> engine = DebeziumEngine.create(JsonByteArray.class)
            .using(properties(arguments[0]))
            .using((success, message, error) -> System.err.println("The engine ended: " + message))
            .notifying(sink::write)
            .build();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(engine)));
        engine.run();
    }

    private static Properties properties(String path) throws IOException {
        Properties read = new Properties();
        try (FileInputStream in = new FileInputStream(path)) {
            read.load(in);
        }
        return read;
    }

    private static void close(DebeziumEngine<?> engine) {
        try {
            engine.close();
        } catch (IOException error) {
            System.err.println(error);
        }
    }

    private void write(List<ChangeEvent<byte[], byte[]>> batch,
            DebeziumEngine.RecordCommitter<ChangeEvent<byte[], byte[]>> done) throws InterruptedException {
        CountDownLatch waiting = new CountDownLatch(batch.size());
        for (ChangeEvent<byte[], byte[]> event : batch) {
            producer.send(new ProducerRecord<>(event.destination(), event.key(), event.value()),
                (metadata, error) -> acknowledged(error, waiting));
            done.markProcessed(event);
        }
        waiting.await();
        done.markBatchFinished();
    }

    private static void acknowledged(Exception error, CountDownLatch waiting) {
        if (error != null) {
            System.err.println("A message was not delivered: " + error);
            Runtime.getRuntime().halt(1);
        }
        waiting.countDown();
    }
}

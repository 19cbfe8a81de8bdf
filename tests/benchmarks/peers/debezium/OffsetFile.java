import java.io.FileOutputStream;
import java.io.IOException;
import java.io.ObjectOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;

/** Writes the file in which Connect keeps offsets, so that the connector begins where the benchmark's log does. */
public class OffsetFile {
    public static void main(String[] arguments) throws IOException {
        String path = arguments[0], prefix = arguments[1], file = arguments[2], position = arguments[3];
        // a server with GTIDs is asked by GTIDs, so these must be told too
        String gtids = arguments.length > 4 && !arguments[4].isEmpty() ? ",\"gtids\":\"" + arguments[4] + "\"" : "";
        HashMap<byte[], byte[]> offsets = new HashMap<>();
        offsets.put(bytes("[\"bench\",{\"server\":\"" + prefix + "\"}]"),
            bytes("{\"file\":\"" + file + "\",\"pos\":" + position + gtids + "}"));
        try (ObjectOutputStream out = new ObjectOutputStream(new FileOutputStream(path))) {
            out.writeObject(offsets);
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}

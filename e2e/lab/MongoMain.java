import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** A server of MongoDB's protocol that keeps its data in memory. Its argument is the port to listen on. */
class MongoMain {
    public static void main(String[] args) {
        MemoryBackend backend = new MemoryBackend();
        backend.version(new Claimed());
        new MongoServer(backend).bind("127.0.0.1", Integer.parseInt(args[0]));
    }

    /** Today's drivers refuse the versions that the server admits to; what they say to upsert and find has not changed. */
    private static class Claimed implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    }
}

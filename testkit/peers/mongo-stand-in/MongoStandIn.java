import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import io.netty.channel.Channel;

/** mongo-java-server in memory, which says of itself what the current Node driver asks for. */
public class MongoStandIn {
  static class Backend extends MemoryBackend {
    @Override
    public Document handleCommand(Channel channel, String database, String command, Document query) {
      boolean isHello = command.equalsIgnoreCase("hello");
      Document answer = super.handleCommand(channel, database, isHello ? "ismaster" : command, query);
      if (answer != null && answer.containsKey("maxWireVersion")) {
        answer.put("maxWireVersion", 9);
        answer.put("logicalSessionTimeoutMinutes", 30);
        if (isHello) answer.put("isWritablePrimary", true);
      }
      return answer;
    }
  }

  public static void main(String[] args) throws Exception {
    new MongoServer(new Backend()).bind(args.length > 1 ? args[1] : "127.0.0.1", Integer.parseInt(args[0]));
    Thread.currentThread().join();
  }
}

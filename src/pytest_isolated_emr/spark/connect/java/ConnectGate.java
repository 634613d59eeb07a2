package isolatedemr;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import org.apache.spark.sql.connect.service.SparkConnectService$;
import org.sparkproject.connect.grpc.ForwardingServerCallListener;
import org.sparkproject.connect.grpc.Grpc;
import org.sparkproject.connect.grpc.Metadata;
import org.sparkproject.connect.grpc.Server;
import org.sparkproject.connect.grpc.ServerCall;
import org.sparkproject.connect.grpc.ServerCallHandler;
import org.sparkproject.connect.grpc.ServerInterceptor;
import org.sparkproject.connect.grpc.Status;

/**
 * Stands before a Spark Connect server as EMR's authentication proxy does: lets calls pass that carry a token of this
 * session which has not expired, and the session's id. It notes in files which port the kernel picked for the server,
 * whether calls are under way, and since when.
 */
public final class ConnectGate implements ServerInterceptor {
    private static final Metadata.Key TOKEN =
        Metadata.Key.of("x-aws-proxy-auth", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key SESSION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private static final String PREFIX = "v2.local.";
    private static final int SIGNED = 24;

    private final Path directory;
    private final String session;
    private final byte[] key;
    /** In a container the caller's address is that of the network's gateway. */
    private final boolean takesAnyPeer = "any".equals(System.getenv("ISOLATED_EMR_CONNECT_PEERS"));
    private int underWay;

    public ConnectGate() throws IOException {
        this.directory = Paths.get(System.getenv("ISOLATED_EMR_SESSION_DIRECTORY"), new String[0]);
        this.session = this.directory.getFileName().toString();
        this.key = Files.readAllBytes(this.directory.resolve("key"));
        // Spark makes this before it starts the server.
        Thread waiter = new Thread(new PortNote(this.directory.resolve("port")), "port-note");
        waiter.setDaemon(true);
        waiter.start();
    }

    public ServerCall.Listener interceptCall(ServerCall call, Metadata headers, ServerCallHandler next) {
        // Spark 3.5 listens on all addresses of the machine.
        if (!this.takesAnyPeer && !isLoopback(call.getAttributes().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR))) {
            call.close(Status.UNAUTHENTICATED.withDescription("the call is not of this machine"), new Metadata());
            return new Refused();
        }
        String problem = this.problemOf((String) headers.get(TOKEN), (String) headers.get(SESSION));
        if (problem != null) {
            call.close(Status.UNAUTHENTICATED.withDescription(problem), new Metadata());
            return new Refused();
        }
        this.count(1);
        try {
            return new Counted(next.startCall(call, headers), this);
        } catch (RuntimeException error) {
            this.count(-1);
            throw error;
        }
    }

    /** Counts the calls under way; when the first comes or the last ends, the file says so. */
    synchronized void count(int change) {
        boolean before = this.underWay > 0;
        this.underWay += change;
        if (before != this.underWay > 0) {
            String state = (before ? "IDLE " : "BUSY ") + System.currentTimeMillis();
            write(this.directory.resolve("activity"), state);
        }
    }

    /** Writes a file so that a reader sees the old content or the new one. */
    static void write(Path path, String content) {
        try {
            Path made = path.resolveSibling(path.getFileName() + ".new");
            Files.write(made, content.getBytes(StandardCharsets.UTF_8));
            Files.move(made, path, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException error) {
            throw new IllegalStateException(path + " cannot be written", error);
        }
    }

    private static boolean isLoopback(Object peer) {
        return peer instanceof InetSocketAddress && ((InetSocketAddress) peer).getAddress().isLoopbackAddress();
    }

    /** Returns why a token is not taken; null if it is. spark/connect/tokens.py has its format. */
    private String problemOf(String token, String named) {
        if (token == null || !token.startsWith(PREFIX)) {
            return "x-aws-proxy-auth must be a token of GetSessionEndpoint";
        }
        try {
            byte[] parts = Base64.getUrlDecoder().decode(token.substring(PREFIX.length()));
            if (parts.length <= SIGNED) {
                return "the token is not valid";
            }
            byte[] signed = new byte[SIGNED];
            System.arraycopy(parts, 0, signed, 0, SIGNED);
            byte[] signature = new byte[parts.length - SIGNED];
            System.arraycopy(parts, SIGNED, signature, 0, signature.length);
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(this.key, "HmacSHA256"));
            if (!MessageDigest.isEqual(signature, mac.doFinal(signed))) {
                return "the token is not valid";
            }
            if (ByteBuffer.wrap(signed).getLong() <= System.currentTimeMillis()) {
                return "the token has expired";
            }
        } catch (IllegalArgumentException error) {
            return "the token is not valid";
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
        return this.session.equals(named) ? null : "authorization must be the id of the session";
    }

    private static final class Refused extends ServerCall.Listener {
    }

    /** Waits until the server listens, and writes down where. */
    private static final class PortNote implements Runnable {
        private final Path path;

        PortNote(Path path) {
            this.path = path;
        }

        public void run() {
            try {
                int port = portOf(SparkConnectService$.MODULE$.server());
                while (port <= 0) {
                    Thread.sleep(10L);
                    port = portOf(SparkConnectService$.MODULE$.server());
                }
                write(this.path, Integer.toString(port));
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
        }

        private static int portOf(Server server) {
            try {
                return server == null ? 0 : server.getPort();
            } catch (IllegalStateException error) {
                // Spark names the server before it starts it.
                return 0;
            }
        }
    }

    /** A call that counts as under way until it has ended, in whatever way. */
    private static final class Counted extends ForwardingServerCallListener.SimpleForwardingServerCallListener {
        private final ConnectGate gate;

        Counted(ServerCall.Listener call, ConnectGate gate) {
            super(call);
            this.gate = gate;
        }

        public void onComplete() {
            this.gate.count(-1);
            super.onComplete();
        }

        public void onCancel() {
            this.gate.count(-1);
            super.onCancel();
        }
    }
}

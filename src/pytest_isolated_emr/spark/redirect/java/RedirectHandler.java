package isolatedemr;

import java.net.URI;

import com.amazonaws.Request;
import com.amazonaws.handlers.RequestHandler2;

/**
 * What RedirectInterceptor is, for the AWS SDK 1: sends every request of every client in this JVM to the session's
 * endpoint. It runs after the client chose an endpoint and before signing. Compiled by Janino.
 */
public final class RedirectHandler extends RequestHandler2 {

    private static final boolean ON = "1".equals(System.getenv("ISOLATED_EMR_REDIRECT"));
    private static final String ENDPOINT = System.getenv("AWS_ENDPOINT_URL");
    private static final String KEY = System.getenv("AWS_ACCESS_KEY_ID");

    public void beforeRequest(Request request) {
        if (!ON || ENDPOINT == null) {
            return;
        }
        String host = request.getEndpoint().getHost();
        String bucket = bucketOf(request.getOriginalRequest());
        if (bucket != null && host != null && host.startsWith(bucket + ".")) {
            String path = request.getResourcePath() == null ? "" : request.getResourcePath();
            // One slash is the separator; a key may itself begin with a further one.
            request.setResourcePath(bucket + "/" + (path.startsWith("/") ? path.substring(1) : path));
        }
        request.setEndpoint(URI.create(ENDPOINT));
        if (KEY != null) {
            request.addHeader("x-isolated-emr-key", KEY);
        }
    }

    /** Asked by reflection, so that this works without the S3 classes too. A copy has two buckets, and goes to one. */
    private static String bucketOf(Object request) {
        String bucket = valueOf(request, "getDestinationBucketName");
        return bucket != null ? bucket : valueOf(request, "getBucketName");
    }

    private static String valueOf(Object request, String getter) {
        try {
            return (String) request.getClass().getMethod(getter, new Class[0]).invoke(request, new Object[0]);
        } catch (Exception none) {
            return null;
        }
    }
}

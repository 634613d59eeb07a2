package isolatedemr;

import java.net.URI;

import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.core.interceptor.SdkInternalExecutionAttribute;
import software.amazon.awssdk.endpoints.Endpoint;
import software.amazon.awssdk.http.SdkHttpRequest;

/**
 * Sends every request of every client of the AWS SDK 2 in this JVM to the session's endpoint, whatever endpoint and
 * credentials the code under test gave the client. The SDK finds it by a file of a fixed name on the class path.
 *
 * It runs before signing, so that the signature fits, and before the client's own interceptor that writes the resolved
 * endpoint into the request: so that endpoint is replaced, and the request itself as well, in case the order changes.
 * The header is what lets a request with hard-coded credentials in. Compiled by Janino: no lambdas, no inference.
 */
public final class RedirectInterceptor implements ExecutionInterceptor {

    private static final boolean ON = "1".equals(System.getenv("ISOLATED_EMR_REDIRECT"));
    private static final String ENDPOINT = System.getenv("AWS_ENDPOINT_URL");
    private static final String KEY = System.getenv("AWS_ACCESS_KEY_ID");

    public SdkHttpRequest modifyHttpRequest(Context.ModifyHttpRequest context, ExecutionAttributes attributes) {
        SdkHttpRequest request = context.httpRequest();
        if (!ON || ENDPOINT == null) {
            return request;
        }
        URI session = URI.create(ENDPOINT);
        // "Bucket" is what S3 calls it; asking by name keeps the S3 classes out of this one.
        String bucket = (String) context.request().getValueForField("Bucket", String.class).orElse(null);

        Endpoint endpoint = (Endpoint) attributes.getAttribute(SdkInternalExecutionAttribute.RESOLVED_ENDPOINT);
        if (endpoint != null) {
            URI resolved = endpoint.url();
            String path = resolved.getRawPath() == null ? "" : resolved.getRawPath();
            if (isBucketInHost(bucket, resolved.getHost())) {
                path = "/" + bucket + path;
            }
            URI url = URI.create(session.getScheme() + "://" + session.getRawAuthority() + path);
            attributes.putAttribute(
                SdkInternalExecutionAttribute.RESOLVED_ENDPOINT, (Endpoint) endpoint.toBuilder().url(url).build());
        }

        SdkHttpRequest.Builder builder = (SdkHttpRequest.Builder) request.toBuilder();
        if (isBucketInHost(bucket, request.host())) {
            builder.encodedPath("/" + bucket + request.encodedPath());
        }
        builder.protocol(session.getScheme());
        builder.host(session.getHost());
        builder.port(session.getPort() < 0 ? null : Integer.valueOf(session.getPort()));
        if (KEY != null) {
            builder.putHeader("x-isolated-emr-key", KEY);
        }
        return (SdkHttpRequest) builder.build();
    }

    private static boolean isBucketInHost(String bucket, String host) {
        return bucket != null && host != null && host.startsWith(bucket + ".");
    }
}

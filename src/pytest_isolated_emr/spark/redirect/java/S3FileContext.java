package isolatedemr;

import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.DelegateToFileSystem;
import org.apache.hadoop.fs.s3a.S3AFileSystem;

/** What org.apache.hadoop.fs.s3a.S3A is, for any scheme: that class takes "s3a" alone. */
public final class S3FileContext extends DelegateToFileSystem {

    public S3FileContext(URI uri, Configuration conf) throws IOException, URISyntaxException {
        super(uri, new S3AFileSystem(), conf, uri.getScheme(), false);
    }

    public int getUriDefaultPort() {
        return -1;
    }
}

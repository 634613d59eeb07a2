package isolatedemr;

import java.io.IOException;

import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;

/**
 * The local file system below a cluster's hdfs://. Hadoop's own asks for a file's owner and permissions only when they are
 * looked at; the file system above it has given the file an hdfs:// path by then, of which it knows nothing.
 */
public final class LocalFiles extends LocalFileSystem {
    public FileStatus getFileStatus(Path path) throws IOException {
        return known(super.getFileStatus(path));
    }

    public FileStatus[] listStatus(Path path) throws IOException {
        FileStatus[] found = super.listStatus(path);
        for (int i = 0; i < found.length; i++) {
            known(found[i]);
        }
        return found;
    }

    private static FileStatus known(FileStatus status) {
        status.getPermission();
        return status;
    }
}

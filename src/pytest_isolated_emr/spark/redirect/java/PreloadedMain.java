package isolatedemr;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;

/**
 * Runs the main class that its first argument names, while a thread loads the classes that the file of the property
 * {@code isolatedemr.preload} names. They are loaded, not initialized: nothing of them runs before its time.
 */
public final class PreloadedMain implements Runnable {
    private final List names;

    private PreloadedMain(List names) {
        this.names = names;
    }

    public static void main(String[] arguments) throws Throwable {
        try {
            String file = System.getProperty("isolatedemr.preload");
            List names = Files.readAllLines(Paths.get(file, new String[0]), StandardCharsets.UTF_8);
            Thread thread = new Thread(new PreloadedMain(names), "isolated-emr-preload");
            thread.setDaemon(true);
            thread.start();
        } catch (IOException unreadable) {
            System.err.println("isolated-emr: no classes are loaded ahead: " + unreadable);
        }
        String[] rest = (String[]) Arrays.copyOfRange(arguments, 1, arguments.length);
        Class main = Class.forName(arguments[0]);
        try {
            main.getMethod("main", new Class[] {String[].class}).invoke(null, new Object[] {rest});
        } catch (InvocationTargetException thrown) {
            // Its trace shall be the one that it has without us.
            throw thrown.getCause();
        }
    }

    public void run() {
        ClassLoader loader = PreloadedMain.class.getClassLoader();
        for (Iterator each = names.iterator(); each.hasNext(); ) {
            try {
                Class.forName((String) each.next(), false, loader);
            } catch (ClassNotFoundException absent) {
                // Of another version of Spark, or of a jar that is not here.
                continue;
            } catch (LinkageError absent) {
                // The same, of what the class itself needs.
                continue;
            }
        }
    }
}

import java.io.File;

import org.codehaus.janino.Compiler;

/** Compiles the sources named by its arguments, after the first, into the directory that the first one names. */
public class Build {
    public static void main(String[] args) throws Exception {
        File[] sources = new File[args.length - 1];
        for (int i = 1; i < args.length; i++) {
            sources[i - 1] = new File(args[i]);
        }
        Compiler compiler = new Compiler();
        compiler.setDestinationDirectory(new File(args[0]), false);
        // Its default is the launcher's class path, of which a "dir/*" has been expanded by then.
        String[] names = System.getProperty("java.class.path").split(File.pathSeparator);
        File[] classPath = new File[names.length];
        for (int i = 0; i < names.length; i++) {
            classPath[i] = new File(names[i]);
        }
        compiler.setClassPath(classPath);
        compiler.compile(sources);
    }
}

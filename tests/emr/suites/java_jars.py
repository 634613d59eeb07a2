"""Jars for tests, compiled by the Janino that Spark ships: a machine that runs Spark may have no JDK."""

import os
import subprocess
import zipfile
from pathlib import Path

from pytest_isolated_emr.spark import redirect
from pytest_isolated_emr.spark.installation import find_spark
from pytest_isolated_emr.spark.java import find_java

MAIN = """
package com.example;

public class Main {
    public static void main(String[] args) throws Exception {
        System.out.println("arguments: " + java.util.Arrays.asList(args));
        System.out.println("property: " + System.getProperty("com.example.mode"));
        String act = args.length > 0 ? args[0] : "";
        if (act.equals("exit")) {
            System.exit(Integer.parseInt(args[1]));
        }
        if (act.equals("throw")) {
            throw new IllegalStateException("it went wrong");
        }
    }
}
"""

SPARK_JOB = """
package com.example;

import org.apache.spark.sql.SparkSession;

public class Job {
    public static void main(String[] args) {
        SparkSession spark = SparkSession.builder().appName("a jar").getOrCreate();
        spark.range(5).write().parquet(args[0]);
        System.out.println("master: " + spark.sparkContext().master());
        if (args.length > 1) {
            System.exit(Integer.parseInt(args[1]));
        }
        spark.stop();
    }
}
"""


def make_jar(directory, manifest_class=None):
    """Return a jar with both classes.

    :param directory: for the sources, the classes and the jar.
    :param manifest_class: the main class that its manifest names.
    """
    classes = directory / "classes"
    classes.mkdir(parents=True)
    for name, source in (("Main", MAIN), ("Job", SPARK_JOB)):
        (directory / f"{name}.java").write_text(source)
    # The program by which the redirect is compiled.
    build = Path(redirect.__file__).parent / "java" / "Build.java"
    janino = [
        *(str(find_java().executable), "-cp", os.path.join(find_spark().jars_dir, "*")),
        *("org.codehaus.janino.SimpleCompiler", str(build), "Build", str(classes)),
        *(str(directory / "Main.java"), str(directory / "Job.java")),
    ]
    done = subprocess.run(janino, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    jar = directory / "job.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        if manifest_class:
            archive.writestr(
                "META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\nMain-Class: {manifest_class}\n\n"
            )
        for path in sorted(classes.rglob("*.class")):
            archive.write(path, path.relative_to(classes))
    return jar

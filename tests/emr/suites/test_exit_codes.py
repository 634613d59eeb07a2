"""A step ends as `spark-submit` of the same job does: its exit code, what it prints."""

import os
import re
import subprocess
from pathlib import Path

import pyspark
import pytest

SUBMIT = Path(os.environ.get("SPARK_HOME", Path(pyspark.__file__).parent)) / "bin" / "spark-submit"
WITH_SPARK = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
ENDS_ITS_PARENT = """
import os, signal, time
parent = os.getppid()
os.kill(parent, signal.SIGTERM)
while os.getppid() == parent:
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("job", "code"),
    [
        pytest.param("print('done')", 0, id="without Spark"),
        pytest.param(
            WITH_SPARK + "print('rows:', spark.range(3).count())", 0, id="a session that is not stopped"
        ),
        pytest.param(WITH_SPARK + "import sys\nprint('done')\nsys.exit(3)", 3, id="sys.exit"),
        pytest.param("print('first')\nraise ValueError('why')", 1, id="an uncaught error"),
        pytest.param(WITH_SPARK + "spark.read.parquet('file:///no/such/place')", 1, id="an error of Spark"),
        pytest.param(WITH_SPARK + "spark._jvm.System.exit(5)", 5, id="System.exit"),
        pytest.param("import os\nos._exit(7)", 7, id="os._exit"),
        pytest.param(
            "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", 143, id="SIGTERM to the driver"
        ),
        pytest.param(
            ENDS_ITS_PARENT,
            143,
            id="SIGTERM to spark-submit",
        ),
    ],
)
def test_a_step_ends_as_spark_submit_does(run_step, s3, scratch, tmp_path, job, code):
    script = tmp_path / "job.py"
    script.write_text(job)
    s3.upload_file(str(script), scratch.bucket, f"{scratch.prefix}/job.py")
    # With a Spark elsewhere, PySpark in this process is Spark Connect's.
    remote = ("SPARK_CONNECT_MODE_ENABLED", "SPARK_REMOTE")
    environ = {name: value for name, value in os.environ.items() if name not in remote}
    # PySpark's own import of pandas, which steps are spared, warns of a pandas that is newer than it knows.
    environ["PYTHONWARNINGS"] = "ignore:PySpark does not yet fully support pandas:FutureWarning"
    raw = subprocess.run(
        [SUBMIT, script], env=environ, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    step = run_step("spark-submit", f"{scratch}/job.py", check=False)

    controller = (step.log / "controller").read_text()
    assert re.findall(r"ended with exit code (\d+) ", controller) == [str(code)]
    assert (raw.returncode if raw.returncode >= 0 else 128 - raw.returncode) == code
    assert step.state == ("COMPLETED" if code == 0 else "FAILED")
    # Each runs the job from a place of its own, which traces name.
    assert re.sub('".*/job.py"', "job.py", step.stdout) == re.sub('".*/job.py"', "job.py", raw.stdout)

import re

import pandas as pd
from pyspark.sql.functions import pandas_udf, udf
from pyspark.sql.types import ArrayType, DoubleType, StringType

_HOST = re.compile(r"https?://([^/:?#]+)")


@udf(returnType=StringType())
def host_of(url):
    match = _HOST.match(url or "")
    return match.group(1).lower() if match else None


split_tags = udf(lambda text: [tag for tag in (text or "").split("|") if tag], ArrayType(StringType()))


@pandas_udf(DoubleType())
def euros(cents: pd.Series) -> pd.Series:
    return cents.astype("float64") / 100


@pandas_udf(DoubleType())
def spread(values: pd.Series) -> float:
    return float(values.max() - values.min())

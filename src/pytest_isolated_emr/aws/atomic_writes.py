"""S3's conditional writes as S3 has them: of several at once that exclude each other, one succeeds.

moto looks at the condition and writes in two steps, and requests are served by threads of their own. See
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from moto.s3.responses import S3Response

#: What looks at conditions, and what writes without one. CompleteMultipartUpload is in ``_key_response_post``. The request's
#: body is read by then, so that a slow client keeps nobody waiting.
_WRITES = ("put_object", "copy_object", "delete_object", "_key_response_post", "_bucket_response_delete_keys")


def install() -> None:
    """Let one write to S3 in at a time. Call it once, before the first request."""
    lock = threading.RLock()
    for name in _WRITES:
        setattr(S3Response, name, _one_at_a_time(getattr(S3Response, name), lock))


def _one_at_a_time(write: Callable[..., Any], lock: Any) -> Callable[..., Any]:
    @wraps(write)
    def locked(*arguments: Any, **named: Any) -> Any:
        with lock:
            return write(*arguments, **named)

    return locked

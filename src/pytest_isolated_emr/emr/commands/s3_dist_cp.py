"""``s3-dist-cp``: copies files between S3, HDFS and the machine, put together and compressed anew where asked for.

https://docs.aws.amazon.com/emr/latest/ReleaseGuide/UsingEMR_s3distcp.html
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from pytest_isolated_emr.emr.commands.context import CommandContext, say
from pytest_isolated_emr.emr.commands.places import File, Place, place_of

#: Options about how S3 stores and takes what is written, and about the MapReduce job; nothing here depends on them.
_WITHOUT_EFFECT = (
    "--encryptionKey",
    "--filesPerMapper",
    "--multipartUploadChunkSize",
    "--s3Endpoint",
    "--storageClass",
    "--tmpDir",
)
_SWITCHES_WITHOUT_EFFECT = ("--disableMultipartUpload", "--s3ServerSideEncryption")
_NOT_HERE = (
    "--appendToLastFile",
    "--copyFromManifest",
    "--numberFiles",
    "--outputManifest",
    "--previousManifest",
    "--requirePreviousManifest",
    "--srcPrefixesFile",
    "--startingIndex",
)
_GZIP = ("gz", "gzip")
#: Suffixes by which a file's codec is known.
_CODECS = (*_GZIP, "lzo", "lzop", "snappy")
_MIB = 1 << 20


class _Refused(Exception):
    """The command line asks for what there is not; the text says what."""


@dataclass(frozen=True)
class _Output:
    """A file to write.

    :param name: its path below the destination.
    :param sources: whose contents it has, in their order.
    """

    name: str
    sources: list[File]


def main() -> None:
    """Copy files; does not return."""
    sys.exit(copy(CommandContext.of_this_process(), sys.argv[1:]))


def copy(context: CommandContext, arguments: Sequence[str]) -> int:
    """Copy files, and return the exit code.

    :param context: the cluster.
    :param arguments: as ``s3-dist-cp`` takes them.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        asked = _parse(arguments)
        source = place_of(asked.src, context.directory)
        target = place_of(asked.dest, context.directory)
        found = list(source.files())
        if not found:
            raise FileNotFoundError(f"No such file or directory: {asked.src}")
        outputs = list(_outputs(found, asked))
        for output in outputs:
            _write(output, source, target, asked.output_codec, context.directory / "tmp")
        copied = [file for output in outputs for file in output.sources]
        if asked.delete_on_success:
            for file in copied:
                source.delete(file)
    except _Refused as error:
        say(f"s3-dist-cp: {error}")
        return 1
    except (OSError, ValueError, EOFError, BotoCoreError, ClientError) as error:
        print(f'Exception in thread "main" java.lang.RuntimeException: {error}', file=sys.stderr)
        return 1
    print(f"Copied {len(copied)} files to {len(outputs)} in {asked.dest}", file=sys.stderr)
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Refused(message)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--src", required=True)
    parser.add_argument("--dest", required=True)
    parser.add_argument("--srcPattern", dest="src_pattern", type=_pattern)
    parser.add_argument("--groupBy", dest="group_by", type=_pattern)
    parser.add_argument("--targetSize", dest="target_size", type=int)
    parser.add_argument("--outputCodec", dest="output_codec", type=str.lower, default="keep")
    parser.add_argument("--deleteOnSuccess", dest="delete_on_success", action="store_true")
    # Of Hadoop: -Dname=value.
    parser.add_argument("-D", action="append")
    for name in _WITHOUT_EFFECT:
        parser.add_argument(name)
    for name in _SWITCHES_WITHOUT_EFFECT:
        parser.add_argument(name, action="store_true")
    for argument in arguments:
        if argument.partition("=")[0] in _NOT_HERE:
            raise _Refused(f"the option {argument.partition('=')[0]} is not here")
    asked = parser.parse_args(arguments)
    if asked.output_codec not in ("keep", "none", *_CODECS):
        raise _Refused(f"there is no codec {asked.output_codec!r}")
    if asked.output_codec in ("lzo", "lzop", "snappy"):
        raise _Refused(f"the codec {asked.output_codec} is not here: gz, none and keep are")
    if asked.group_by is not None and not asked.group_by.groups:
        raise _Refused("--groupBy needs a group in parentheses")
    return asked


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def _outputs(found: Sequence[File], asked: argparse.Namespace) -> Iterator[_Output]:
    groups: dict[str, list[File]] = {}
    for file in found:
        # As Java's matches(): the whole of it.
        if asked.src_pattern is not None and not asked.src_pattern.fullmatch(file.url):
            continue
        if asked.group_by is None:
            yield _Output(_renamed(file.name, [file], asked.output_codec), [file])
        elif matched := asked.group_by.fullmatch(file.url):
            group = re.sub("[/:]", "_", "".join(part or "" for part in matched.groups()))
            if group:
                groups.setdefault(group, []).append(file)
    for group, files in groups.items():
        directory = PurePosixPath(files[0].name).parent
        parts = _parts(files, asked.target_size)
        for number, part in enumerate(parts):
            stem, dot, suffix = group.rpartition(".")
            index = str(number) if len(parts) > 1 else ""
            name = f"{stem}{index}.{suffix}" if dot and stem else f"{group}{index}"
            yield _Output((directory / _renamed(name, part, asked.output_codec)).as_posix(), part)


def _parts(files: list[File], target_size: int | None) -> list[list[File]]:
    """Part the files of a group so that each part comes to the wanted size, in MiB, or just above."""
    parts: list[list[File]] = [[]]
    for file in files:
        if target_size is not None and sum(other.size for other in parts[-1]) >= target_size * _MIB:
            parts.append([])
        parts[-1].append(file)
    return parts


def _renamed(name: str, sources: Sequence[File], codec: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    plain = stem if dot and stem and suffix.lower() in _CODECS else name
    if codec == "none":
        return plain
    if codec in _GZIP:
        return f"{plain}.{codec}"
    kept = {_codec_of(source.name) for source in sources}
    if len(kept) > 1:
        raise _Refused("files with different compression cannot be put together without --outputCodec")
    # One file keeps its name; a group's name says nothing of its files' codec.
    return name if _codec_of(name) in kept else f"{plain}.{kept.pop()}".rstrip(".")


def _codec_of(name: str) -> str:
    suffix = name.rpartition(".")[2].lower()
    return suffix if suffix in _CODECS else ""


def _write(output: _Output, source: Place, target: Place, codec: str, temporary: Path) -> None:
    with tempfile.TemporaryFile(dir=temporary) as content:
        # Compressed files one after the other are a compressed file again.
        with _compressing(content, codec) as compressed:
            for file in output.sources:
                with tempfile.TemporaryFile(dir=temporary) as read:
                    source.read(file, read)
                    read.seek(0)
                    with _decompressing(read, file, codec) as plain:
                        shutil.copyfileobj(plain, compressed)
        content.seek(0)
        target.write(output.name, content)


@contextlib.contextmanager
def _compressing(content: IO[bytes], codec: str) -> Iterator[IO[bytes]]:
    if codec in _GZIP:
        with gzip.GzipFile(fileobj=content, mode="wb") as compressed:
            yield compressed  # type: ignore[misc]
    else:
        yield content


@contextlib.contextmanager
def _decompressing(content: IO[bytes], file: File, codec: str) -> Iterator[IO[bytes]]:
    found = _codec_of(file.name)
    if codec == "keep" or not found:
        yield content
    elif found in _GZIP:
        with gzip.GzipFile(fileobj=content) as plain:
            yield plain  # type: ignore[misc]
    else:
        raise _Refused(f"{file.url} cannot be decompressed: the codec {found} is not here")


if __name__ == "__main__":
    main()

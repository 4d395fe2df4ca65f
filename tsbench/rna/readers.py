"""Readers of sequence files: FASTA, FASTQ, BAM and SAM, by pysam, with every fault of a file an error.

pysam itself is silent about text before the first header, records without a sequence, bytes after a NUL, and a
block-gzipped file that was cut between two blocks. Nothing is ever written beside the data (no index).
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsbench.errors import DataError, MissingData

_GZIP = b"\x1f\x8b"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")  # SAM specification, 4.1.2
_SAM_HEADER = re.compile(rb"@(HD|SQ|RG|PG|CO)\t")
_NO_LETTER = re.compile(r"[^A-Za-z]")
_FOUR_LINES = "A FASTQ record has four lines: @name, letters, +, as many qualities; nothing stands between records."
_FETCH_AGAIN = "The copy is cut or damaged: get the file again."


@dataclass(frozen=True)
class Record:
    """One sequence, in letters as they stand in the file.

    Attributes:
        name: the header up to the first blank.
        description: the rest of the header.
        sequence: its letters, as sequenced: a read that was aligned in reverse is turned back.
        line: where the header stands in the (uncompressed) file, from 1; in BAM and SAM the number of the alignment.
    """

    name: str
    description: str
    sequence: str
    line: int


def read_sequences(path: Path) -> Iterator[Record]:
    """The records of a FASTA, FASTQ, BAM or SAM file, plain or gzipped; the content decides which it is.

    Raises:
        MissingData: there is no such file.
        DataError: naming file, line and remedy; see `read_fasta` and `read_bam`.
    """
    start = _start(path)
    if start.startswith(b"CRAM"):
        raise DataError(path, "CRAM needs its reference to be read", "Convert it: samtools view -b -o FILE.bam")
    aligned = start.startswith(b"BAM\1") or _SAM_HEADER.match(start) or ".sam" in path.suffixes
    return read_bam(path) if aligned else read_fasta(path)


def read_fasta(path: Path) -> Iterator[Record]:
    """The records of a FASTA or FASTQ file (of four lines a record), plain or gzipped.

    Raises:
        MissingData: there is no such file.
        DataError: it is empty, cut, damaged or neither format; a record has no name or no sequence, or holds
            something that is no letter; a FASTQ record is not whole.
    """
    import pysam

    marker = _start(path).lstrip()[:1]
    if marker not in (b">", b"@"):
        what = "neither FASTA nor FASTQ" if marker else "it holds nothing"
        raise DataError(path, what, "It has to begin with a header, `>name` or `@name`.", 1)
    _check_end(path)
    pysam.set_verbosity(0)  # what htslib would print is raised
    lines, line = _lines(path), 0
    try:
        with pysam.FastxFile(str(path)) as file:
            entry: Any  # pysam's stubs say that every part may be None
            for entry in file:
                line = _header_line(path, lines, marker + entry.name.encode(), line)
                _check(path, entry, marker == b"@", line)
                yield Record(entry.name, entry.comment or "", entry.sequence, line)
        for number, text in lines:
            if marker == b"@" and number > line + 3 and text.strip():
                raise DataError(path, "text that is no record", _FOUR_LINES, number)
    except UnicodeDecodeError:
        raise DataError(path, f"a header after line {line} is no UTF-8 text", "Save the file as UTF-8.") from None
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"cannot be read after the record at line {line} ({error})", _FETCH_AGAIN) from None


def read_bam(path: Path) -> Iterator[Record]:
    """The reads of a BAM or SAM file, aligned or not, each once: secondary and supplementary alignments are left out.

    Raises:
        MissingData: there is no such file.
        DataError: it is cut, damaged or neither format, or a read is stored without its sequence.
    """
    import pysam

    _start(path)
    pysam.set_verbosity(0)
    number = 0
    try:
        with pysam.AlignmentFile(str(path), check_sq=False) as file:
            if not (file.is_bam or file.is_sam):
                raise ValueError("neither BAM nor SAM")
            for number, read in enumerate(file.fetch(until_eof=True), 1):
                if read.is_secondary or read.is_supplementary:
                    continue
                sequence = read.get_forward_sequence()
                if not sequence:
                    what = f"alignment {number}, read {read.query_name}, has no sequence (`*`)"
                    raise DataError(path, what, "Leave such reads out: samtools view -e 'length(seq)>0'.")
                yield Record(read.query_name or "", "", sequence, number)
    except (ValueError, OSError) as error:
        raise DataError(path, f"cannot be read after alignment {number} ({error})", _FETCH_AGAIN) from None
    if not number:
        raise DataError(path, "it holds no alignment", _FETCH_AGAIN)


def _start(path: Path) -> bytes:
    """The first bytes of the content."""
    if not path.is_file():
        raise MissingData(f"{path} is not there. Check the path.")
    try:
        with _open(path) as file:
            return bytes(file.read(512))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"cannot be read ({error})", _FETCH_AGAIN) from None


def _open(path: Path):  # type: ignore[no-untyped-def]  # gzip and plain files share no public type
    """Open for reading bytes; the content decides whether it is gzipped, as it does for htslib."""
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP
    return gzip.open(path, "rb") if zipped else path.open("rb")


def _check_end(path: Path) -> None:
    """A block-gzipped file (bgzip) ends with an empty block; without it some blocks are missing."""
    with path.open("rb") as file:
        if file.read(2) == _GZIP and b"BC\2\0" in file.read(16):
            file.seek(-len(_BGZF_END), 2)
            if file.read() != _BGZF_END:
                raise DataError(path, "its last block is missing (bgzip)", _FETCH_AGAIN)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines."""
    with _open(path) as file:
        for number, text in enumerate(file, 1):
            if b"\0" in text:  # where pysam would take the line to end
                raise DataError(path, "a NUL byte", "It is no text file, or damaged: get it again.", number)
            yield number, text


def _header_line(path: Path, lines: Iterator[tuple[int, bytes]], header: bytes, before: int) -> int:
    """The line of the next record, which pysam does not tell; `before` is that of the last one, 0 if there is none."""
    for number, text in lines:
        if text.startswith(header):
            return number
        if header.startswith(b"@") and text.strip() and not before < number < before + 4:
            raise DataError(path, "text that is no record", _FOUR_LINES, number)
    raise DataError(path, f"no line begins with {header.decode()} after line {before}", "Is a header damaged?")


def _check(path: Path, entry: Any, fastq: bool, line: int) -> None:
    """What pysam lets pass."""
    if not entry.name:
        raise DataError(path, "a record without a name", "Write `>name`, without a blank between them.", line)
    if not entry.sequence:
        what = f"record {entry.name} has no sequence"
        raise DataError(path, what, "Leave the record out, or get the file again.", line)
    if fastq != (entry.quality is not None):
        raise DataError(path, f"record {entry.name} is half FASTA, half FASTQ", _FOUR_LINES, line)
    if found := _NO_LETTER.search(entry.sequence):
        what = f"record {entry.name} has {found[0]!r} at place {found.start() + 1} of its sequence"
        raise DataError(path, what, "A sequence is letters only: remove gaps and blanks.", line)

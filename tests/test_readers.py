"""Readers of FASTA, FASTQ, BAM and SAM: counts that samtools gives, and an error for every fault of a file."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pysam
import pytest

from tsbench.errors import DataError, MissingData
from tsbench.rna.readers import Record, read_bam, read_fasta, read_sequences


@pytest.fixture(scope="session")
def formats(real_data: Path) -> Path:
    return real_data / "rna" / "formats_pysam"


def test_fasta_is_what_samtools_indexes(formats: Path, tmp_path: Path) -> None:
    records = list(read_fasta(formats / "ex1.fa"))
    copy = shutil.copy(formats / "ex1.fa", tmp_path / "ex1.fa")
    with pysam.FastaFile(str(copy)) as indexed:
        assert [r.name for r in records] == list(indexed.references) == ["chr1", "chr2"]
        assert [r.sequence for r in records] == [indexed.fetch(name) for name in indexed.references]
    lines = (formats / "ex1.fa").read_text().splitlines()
    assert [lines[r.line - 1] for r in records] == [">chr1", ">chr2"]


def test_fastq_and_bam_hold_the_same_reads(formats: Path) -> None:
    """ex1.fq.gz has as many reads as ex1.bam, which `samtools idxstats` counts: 3,235 mapped and 35 not."""
    reads = list(read_sequences(formats / "ex1.fq.gz"))
    aligned = list(read_sequences(formats / "ex1.bam"))
    assert len(reads) == len(aligned) == 3270
    assert int(str(pysam.view("-c", "-F", "4", str(formats / "ex1.bam")))) == 3235
    assert reads[0] == Record("B7_589:1:101:825:28", "", "GGGAACAGGGGGGTGCACTAATGCGCTCCACGCCC", 1)
    assert [r.line for r in reads] == list(range(1, 4 * 3270, 4))


def test_reads_are_as_sequenced_and_counted_once(formats: Path, tmp_path: Path) -> None:
    """Of ex_spliced.bam's 101 alignments 88 are secondary; all are reversed, and samtools turns them back too."""
    path = formats / "ex_spliced.bam"
    records = list(read_bam(path))
    pysam.fasta("-F", "0x900", "-0", str(tmp_path / "reads.fa"), str(path), catch_stdout=False)
    wanted = (tmp_path / "reads.fa").read_text().splitlines()[1::2]
    assert len(records) == 13
    assert sorted(r.sequence for r in records) == sorted(wanted)
    assert [len(r.sequence) for r in read_bam(formats / "MM-multi.bam")] == [36, 36]  # unmapped, no header


def test_nothing_is_written_beside_the_data(formats: Path, tmp_path: Path) -> None:
    for name in ("ex1.fa", "ex1.bam"):
        shutil.copy(formats / name, tmp_path)
        list(read_sequences(tmp_path / name))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ex1.bam", "ex1.fa"]


def test_text_that_differs_in_form_only(tmp_path: Path) -> None:
    wanted = [Record("a", "first one", "ACGUU", 1), Record("b", "", "gg", 4)]
    text = b">a first one\nACG\nUU\n>b\ngg"
    forms = {"plain.fa": text, "windows.fa": text.replace(b"\n", b"\r\n"), "two.fa.gz": gzip.compress(text)}
    forms["members.fasta.gz"] = gzip.compress(text[:21]) + gzip.compress(text[21:])
    forms["plain_in_spite_of_its_name.fa.gz"] = text
    for name, content in forms.items():
        (tmp_path / name).write_bytes(content)
        assert list(read_sequences(tmp_path / name)) == wanted, name


FAULTS = {
    "empty.fa": (b"", "holds nothing"),
    "blank.fa": (b"\n\n", "holds nothing"),
    "junk.fa": (bytes(range(256)) * 9, "neither FASTA nor FASTQ"),
    "text_first.fa": (b"RNA of mine\n>a\nACG\n", "neither FASTA nor FASTQ"),
    "no_sequence.fa": (b">a\nACG\n>b\n>c\nGG\n", ":3: record b has no sequence"),
    "no_sequence_at_end.fa": (b">a\nACG\n>b\n", ":3: record b has no sequence"),
    "no_name.fa": (b">\nACG\n", ":1: a record without a name"),
    "nul.fa": (b">a\nAC\0GGG\n>b\nGG\n", ":2: a NUL byte"),
    "gap.fa": (b">x\nGG\n>a\nAC-GU\n", ":3: record a has '-' at place 3"),
    "blank_inside.fa": (b">a\nAC GU\n", "' ' at place 3"),
    "latin.fa": (b">a\nAC\n>b\xff\nAC\n", "no UTF-8 text"),
    "fastq_in_fasta.fa": (b">a\nAC\n@b\nAC\n+\nII\n", "no line begins with >b"),
    "few_qualities.fq": (b"@a\nACG\n+\nIII\n@b\nACG\n+\nI\n", "record at line 1"),
    "no_qualities.fq": (b"@a\nACG\n@b\nACG\n+\nIII\n", ":1: record a is half FASTA"),
    "lost_header.fq": (b"@a\nACG\n+\nIII\nb\nACG\n+\nIII\n@c\nACG\n+\nIII\n", ":5: text that is no record"),
    "lost_last_header.fq": (b"@a\nACG\n+\nIII\nb\nACG\n+\nIII\n", ":5: text that is no record"),
    "checksum.fa.gz": (gzip.compress(b">a\nACG\n")[:-8] + b"12345678", "cannot be read"),
    "half.fa.gz": (gzip.compress(b">a\nACGUACGAUC\n" * 3)[:-9], "cannot be read"),
    "no_alignment.sam": (b"@HD\tVN:1.6\n", "no alignment"),
    "half.sam": (b"@HD\tVN:1.6\nr\t4\t*\t0\n", "after alignment 0"),
    "no_bases.sam": (b"@HD\tVN:1.6\nr\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*\n", "read r, has no sequence"),
    "of.cram": (b"CRAM\3\0", "CRAM needs its reference"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str, tmp_path: Path) -> None:
    content, told = FAULTS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_sequences(tmp_path / name))
    assert name in str(caught.value)
    assert told in str(caught.value)


def test_cut_files(formats: Path, tmp_path: Path) -> None:
    """Cut anywhere, even between two blocks, where neither gzip nor pysam's FASTA reader sees it."""
    (tmp_path / "whole.fa").write_bytes(b"".join(b">s%d\n%s\n" % (i, b"ACGU" * 20) for i in range(4000)))
    pysam.tabix_compress(str(tmp_path / "whole.fa"), str(tmp_path / "whole.fa.gz"))
    whole = (tmp_path / "whole.fa.gz").read_bytes()
    block = int.from_bytes(whole[16:18], "little") + 1
    bam, fastq = ((formats / name).read_bytes() for name in ("ex1.bam", "ex1.fq.gz"))
    cuts = {"block.fa.gz": whole[:block], "end.bam": bam[:-28], "half.bam": bam[: len(bam) // 2]}
    cuts |= {"half.fq.gz": fastq[: len(fastq) // 2], "end.fq.gz": fastq[:-8]}
    assert len(list(read_sequences(tmp_path / "whole.fa.gz"))) == 4000
    for name, content in cuts.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="cut or damaged"):
            list(read_sequences(tmp_path / name))


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="no_such"):
        list(read_sequences(tmp_path / "no_such.fa"))

"""Labelled RNA, pair level: structures, contacts and distances, from dot-bracket notation or matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tsbench.errors import DataError
from tsbench.files import plain_or_gz
from tsbench.rna.files import Column, Field, read_csv, read_dot_bracket, read_map
from tsbench.rna.samples import Read, Reading, each
from tsbench.rna.sequences import PairSequences, Ragged, Sequences


def dot_brackets(path: Path, reading: Reading) -> Sequences:
    """Structures in dot-bracket notation."""
    column, pairs = read_dot_bracket(path)
    return PairSequences((reading.encode(column),), Ragged.of(pairs))


structures = each(dot_brackets)


def structure_maps(sequence: Field, name: Field, part: Field, parts: tuple[str, str, str]) -> Read:
    """One CSV that says to which part a sequence belongs; its matrix of 0 and 1 is `<part>/<name>.npy`."""

    def read(paths: list[Path], reading: Reading) -> list[Sequences]:
        letters, names, belongs = read_csv(paths[0]).columns(sequence, name, part)
        if left := len([cell for cell in belongs.cells if cell not in parts]):
            reading.notes.append(f"{left} rows of {paths[0].name} that are in none of {', '.join(parts)} left out")
        found = []
        for wanted in parts:
            rows = [i for i, cell in enumerate(belongs.cells) if cell == wanted]
            if not rows:
                raise DataError(paths[0], f"column `{belongs.name}`: no row says {wanted}", _CSV_PARTS)
            found.append(_maps(_select(letters, rows), _select(names, rows), wanted, False, reading))
        return found

    return read


_CSV_PARTS = "It names the part of each row: TR0 (train), VL0 (validation) or TS0 (test)."


def maps(sequence: Field, name: Field, folder: str, dense: bool) -> Read:
    """CSV with a name and a sequence a row; the matrix is `<folder>/<name>.npy`, of 0 and 1 unless `dense`."""

    def read(path: Path, reading: Reading) -> Sequences:
        letters, names = read_csv(path).columns(sequence, name)
        return _maps(letters, names, folder, dense, reading)

    return each(read)


def _maps(letters: Column, names: Column, folder: str, dense: bool, reading: Reading) -> Sequences:
    codes = reading.encode(letters)
    target, unknown = [], 0
    for i, length in enumerate(codes.lengths.tolist()):
        file = letters.path.parent / folder / f"{names.cells[i].removesuffix('.npy')}.npy"
        path = plain_or_gz(file)
        if path is None:
            raise names.error(i, f"there is no {file}", "Put the matrix there; get the whole folder again.")
        values = read_map(path, length)
        if not dense:
            if not np.isin(values, (0, 1)).all():
                raise DataError(path, "values other than 0 and 1", "Two nucleotides pair (1) or do not (0).")
            target.append(np.argwhere(np.triu(values)))
        else:
            if not np.nanmin(values, initial=0) >= 0 or not np.nanmax(values, initial=0) <= 1:
                raise DataError(path, "values outside 0 to 1", "Write distances as min(d / 20 Å, 1).")
            unknown += int(np.isnan(values).sum())
            target.append(values.reshape(-1, 1))
    if unknown:
        reading.notes.append(f"{unknown} pairs without a distance (NaN) in {letters.path.name}: not scored")
    return PairSequences((codes,), Ragged.of(target), dense=dense)


def _select(column: Column, rows: list[int]) -> Column:
    return Column(column.path, column.name, [column.cells[i] for i in rows], [column.lines[i] for i in rows])

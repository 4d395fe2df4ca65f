"""Search: what one study is of, a model's search space on one data set, and the Optuna storage it is kept in."""

from __future__ import annotations

import argparse
import hashlib
import re
import time
from typing import TYPE_CHECKING, Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution

from tsbench.address import shown
from tsbench.cell import Cell, identity, make_cell
from tsbench.dataset import Dataset
from tsbench.errors import UsageError
from tsbench.plan import FIRST_SEED, dataset_spec, parse_seeds
from tsbench.registry import find_datasets, find_model
from tsbench.run import load_splits
from tsbench.session import parse_settings
from tsbench.settings import parse_spec
from tsbench.store import Store

if TYPE_CHECKING:
    import optuna

LONGEST_NAME = 120  # letters: a study names files
MOST_RACES = 5  # lost, when several machines make the tables of one database at once


class Search:
    """One study: data set, model, fixed settings and where it is kept.

    Raises:
        UsageError: the model cannot be tuned on the data set, or has nothing to tune.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.store = Store(args.results)
        self.dataset: Dataset = _single(args.dataset)
        self.model, settings = parse_spec(args.model)
        self.kind = find_model(self.model)
        self.fixed: dict[str, Any] = {**settings, **parse_settings(args.set)}
        self.space = {k: v for k, v in self.kind.search_space.items() if k not in self.fixed}
        if reason := self.kind.refuses(self.dataset):
            raise UsageError(f"{self.model} cannot be tuned on {self.dataset.name}: {reason}")
        if not self.space:
            raise UsageError(f"{self.model} has no search space left to tune")
        # A cell with the fixed settings, made to have every mistake reported before the first trial.
        base = self.cell({}, FIRST_SEED)
        self.protocol = base.protocol
        values = {name: base.settings[name] for name in self.space}
        self.space = {name: _with(space, values[name]) for name, space in self.space.items()}
        # Where the search begins: the default, as far as the space holds it ("as the data set has it" is in none).
        self.default = {name: value for name, value in values.items() if _inside(self.space[name], value)}
        about = identity(base, args.data)
        self.digest, self.code = about["content"], about["code"]
        splits = load_splits(base.dataset, base.protocol, args.data.resolve(), self.digest)
        if splits.validation is splits.test:
            raise UsageError(f"protocol {base.protocol}: validation is TEST, and a study would choose settings by it")
        self.name = args.study or _name(f"{base.dataset}-{base.variant}-{base.protocol}")
        self.metric = self.dataset.kind.primary
        self.higher_is_better = self.dataset.kind.metrics[self.metric].higher_is_better
        self.direction: Literal["maximize", "minimize"] = "maximize" if self.higher_is_better else "minimize"
        self.storage: str = args.storage or f"sqlite:///{self.store.root / 'optuna.db'}"

    @property
    def seeds(self) -> list[int]:
        """The seeds of the final runs, default and tuned."""
        return parse_seeds(self.args.seeds) if self.kind.stochastic else [FIRST_SEED]

    def cell(self, found: dict[str, Any], seed: int, trial: bool = False) -> Cell:
        """The cell of some settings; of none, the default."""
        spec = dataset_spec(self.dataset)
        settings = {**self.fixed, **rounded(found)}
        study = self.name if trial else None
        return make_cell(
            self.dataset, spec, self.args.protocol, self.model, settings, seed, test=not trial, study=study
        )

    def open_study(self) -> optuna.Study:
        """Open or create the study; under a lock, because tables made by two at once may break.

        Raises:
            UsageError: the storage cannot be used, or holds another study under this name.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self.store.lock("study"):
            study = optuna.create_study(
                study_name=self.name,
                storage=connect(self.storage),
                direction=self.direction,
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_warmup_steps=1),
            )
            known = study.user_attrs.get("of")
            mine = {
                "dataset": dataset_spec(self.dataset),
                "content": self.digest,
                "protocol": self.protocol,
                "model": self.model,
                "code": self.code,
                "fixed": {k: str(v) for k, v in self.fixed.items()},
            }
            if known is None:
                study.set_user_attr("of", mine)
            elif known != mine:
                raise UsageError(
                    f"study {self.name!r} exists for something else ({known}); choose another --study name"
                )
        return study


def _with(space: BaseDistribution, default: Any) -> BaseDistribution:
    """A choice among values, the default among them: recipes may have one of their own for a data set."""
    if not isinstance(space, CategoricalDistribution) or not isinstance(default, str | int | float):
        return space
    return space if default in space.choices else CategoricalDistribution((*space.choices, default))


def _inside(choice: Any, value: Any) -> bool:
    """True if a distribution holds a value."""
    if hasattr(choice, "choices"):
        return value in choice.choices
    return isinstance(value, int | float) and choice.low <= value <= choice.high


def rounded(found: dict[str, Any]) -> dict[str, Any]:
    """Settings with four digits: what a setting is worth, and what a table can show."""
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in found.items()}


def connect(url: str) -> optuna.storages.RDBStorage:
    """The storage at a database URL; its tables are made if they are missing.

    Locks do not reach other machines: of several that make the tables at once, the database lets one win, and the
    others find them made when they try again.

    Raises:
        UsageError: the URL is none, its driver is not installed, or the database does not answer.
    """
    import optuna
    from sqlalchemy.exc import ArgumentError, DBAPIError

    # A connection that idled for the hours of a trial may be gone: ask before it is used.
    checked = {} if url.startswith("sqlite") else {"pool_pre_ping": True}
    for race in range(MOST_RACES):
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs=checked)
        except (ArgumentError, ImportError) as error:
            remedy = "Write sqlite:///FILE or postgresql://USER@HOST/NAME, which needs pip install 'tsbench[server]'"
            raise UsageError(f"--storage {shown(url)}: {shown(str(error))}. {remedy}") from None
        except (DBAPIError, optuna.exceptions.StorageInternalError) as error:
            if race == MOST_RACES - 1:
                told = shown(str(error).splitlines()[0])
                raise UsageError(f"--storage {shown(url)} cannot be used: {told}") from None
            time.sleep(0.2 * 2**race)
    raise AssertionError("the last race returns or raises")


def _name(about: str) -> str:
    """A name for study and file; of a long one, a beginning and a fingerprint."""
    name = re.sub(r"[^\w.-]+", "-", about).strip("-")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _single(spec: str) -> Dataset:
    found = find_datasets(spec)
    if len(found) != 1:
        raise UsageError(f"{spec} means {len(found)} data sets; a study is on one")
    return found[0]

"""The grammar of specs and the typing of settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsbench.errors import UsageError
from tsbench.settings import configure, format_spec, parse_spec


@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    size: int = 3
    wide: bool = False
    name: str = "x"
    more: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None


names = st.from_regex(r"[a-z][a-z_/0-9]{0,10}", fullmatch=True)
keys = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
values = st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), names)


@given(names, st.dictionaries(keys, values))
def test_spec_round_trip(name: str, settings: dict[str, Any]) -> None:
    parsed, texts = parse_spec(format_spec(name, settings))
    assert parsed == name
    assert texts == {k: v if isinstance(v, str) else __import__("json").dumps(v) for k, v in settings.items()}


def test_values_are_read_as_the_type_of_their_field() -> None:
    config = configure(
        Config, {"lr": "1e-3", "size": "64", "wide": "true", "more": '{"a": 1, "b": 2}', "limit": "none"}, "m"
    )
    assert config == Config(lr=1e-3, size=64, wide=True, more={"a": 1, "b": 2})


def test_dictionary_with_commas_survives_a_spec() -> None:
    assert parse_spec('m:parameters={"sp": 24, "strategy": "last"},rows=5')[1] == {
        "parameters": '{"sp": 24, "strategy": "last"}',
        "rows": "5",
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lrr": "1"}, "Did you mean 'lr'"),
        ({"size": "1.5"}, "size: cannot read '1.5' as int"),
        ({"wide": "maybe"}, "true or false"),
        ({"lr": "fast"}, "lr: cannot read 'fast' as float"),
        ({"more": "{"}, "more: cannot read"),
    ],
)
def test_bad_settings_name_field_and_remedy(settings: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match="m") as error:
        configure(Config, settings, "m")
    assert said in str(error.value)

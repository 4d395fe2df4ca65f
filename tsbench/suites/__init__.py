"""Suites: declarative lists of cells, one TOML file each."""

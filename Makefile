# Two commands do everything: `make bench` and `make test`. Both make their own environment below .venv and .tox.
PYTHON ?= python3
TOX = .venv/bin/tox
SUITE = .tox/bench/bin/tsbench

.PHONY: bench test lint clean

bench: $(TOX)
	@echo "The first time installs about 2.0 GB, two to three minutes; then the quick suite runs, two to three more."
	$(TOX) run -q -e quick
	$(SUITE) report --html report.html > /dev/null
	@echo
	@echo "report:     $(CURDIR)/report.html"
	@echo "MLflow UI:  $(SUITE) ui     (then open http://127.0.0.1:5000)"
	@echo "more:       $(SUITE) --help"

test: $(TOX)
	$(TOX) run -e tests

lint: $(TOX)
	$(TOX) run -e lint

$(TOX):
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "tsbench needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q "tox>=4.30"

clean:
	rm -rf .venv .tox build *.egg-info

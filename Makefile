# make run: the portal on http://127.0.0.1:8000. make test: all tests. make check: the quick part of them.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIN := $(BIN)/pip-compile -q --generate-hashes --strip-extras --no-header --no-annotate --no-emit-index-url \
	--no-emit-find-links --allow-unsafe

# Each process of the tests would compile the portal anew.
unexport PYTHONDONTWRITEBYTECODE

# make bench: the portal's times beside those of others, PEERS="celery luigi" or PEERS= for fewer. docs/performance.md
.PHONY: run test check real attack faults seeds bench bench-step bench-growth bench-rows packages audit requirements clean

run: $(VENV)/ready
	@.ci/packages Rscript=r-base-core || echo "The portal starts without R."
	@exec $(BIN)/flask --app app start

check: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint portal/templates --lint --quiet
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not real" --ignore=tests/attacks --ignore=tests/real

real: $(VENV)/ready-dev packages
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m real --ignore=tests/attacks

attack: $(VENV)/ready-dev packages
	$(BIN)/python -m pytest -q -p tests.attacks.table -n 2 --dist loadfile tests/attacks

faults: $(VENV)/ready-dev packages
	@$(BIN)/python -m tests.faults N="$(N)" SEED="$(SEED)" DATABASES="$(DATABASES)" KINDS="$(KINDS)"

seeds: $(VENV)/ready-dev packages
	@$(BIN)/python -m tests.faults.seeds $(SEEDS)

bench bench-step bench-growth: $(VENV)/ready-dev packages
	@.ci/packages wrk=wrk || echo "The web's rows are left out."
	@$(BIN)/python -m tests.bench $(patsubst bench-%,%,$(filter-out bench,$@)) $(MARKDOWN:%=--markdown) \
		$(foreach each,ROUNDS ROWS PEERS LEVEL STEPS,$(if $(filter-out undefined,$(origin $(each))),'$(each)=$($(each))'))

bench-rows: $(VENV)/ready-dev packages
	@$(BIN)/python -m tests.bench.million $(ROWS)

test: packages check real attack

packages:
	@.ci/packages Rscript=r-base-core redis-server=redis-server chromium=chromium pg_ctlcluster=postgresql bwrap=bubblewrap

$(VENV)/ready: requirements.txt
	@.ci/environment $(PYTHON) $(VENV) requirements.txt
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	@.ci/environment $(PYTHON) $(VENV) requirements-dev.txt
	@touch $@

# The advisory service is that of the package index; an environment of its own, as it needs much that nothing else does.
audit: $(VENV)/ready-audit
	@.ci/audit $(VENV)/audit/bin/pip-audit requirements.txt requirements-dev.txt

$(VENV)/ready-audit: requirements-audit.txt
	@.ci/environment $(PYTHON) $(VENV)/audit requirements-audit.txt
	@touch $@

requirements: $(VENV)/ready-dev
	for each in requirements requirements-dev requirements-audit; do RPY2_CFFI_MODE=ABI $(PIN) $$each.in || exit 1; done
	RPY2_CFFI_MODE=ABI $(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python .ci/licences > docs/licences.md

clean:
	rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

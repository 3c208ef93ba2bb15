# The commands of the README: `make demo` and `make test` need Python >= 3.11 and pip, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES ?= all
CLUSTER ?=  # once: without the part that cancels a job
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock
RUN := results/demo
BENCHMARKS := probes selection arms synthetic mlp extraction seeds prefixes memory storage scores dag coverage null_worlds

.PHONY: demo test check fuzz storage cluster audit docs format bench bench-quick finished-run
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "found Python %d.%d, expected 3.11 or newer" % sys.version_info[:2])'
	@echo "installing the pinned packages into $(VENV) (some minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing the test extras into $(VENV)"
	@$(INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	@echo "installing the peers of the benchmarks into $(VENV)"
	@$(INSTALL) --editable '.[bench]'
	@touch $@

demo: $(VENV)/.installed  ## fetch data and models, run the default experiment, write the report
	@code=0; $(BIN)/snakemake --cores $(CORES) || code=$$?; \
	$(BIN)/snakemake --report $(RUN)/report.html || exit 1; \
	test ! -f $(RUN)/tables/main.md || { echo "$(RUN)/tables/main.md:"; cut -c -200 $(RUN)/tables/main.md; }; \
	echo "open $(RUN)/report.html"; \
	test $$code = 0 || echo "some steps failed: the report shows what is there; run it again for the rest"; \
	exit $$code

test: $(VENV)/.installed-test  ## the whole test suite
	$(BIN)/pytest -n auto

check: $(VENV)/.installed-test  ## format, lint, types, workflow lint, generated pages, vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --lint --configfile config/finetuning.yaml
	$(BIN)/python docs/generate.py --check
	@$(MAKE) --no-print-directory audit

fuzz: $(VENV)/.installed-test  ## 2,400 spoilt inputs, some minutes; others with FUZZ="--seed 1 --cases 6000"
	$(BIN)/python tests/fuzz.py $(FUZZ)

storage: $(VENV)/.installed-test  ## the workflow with its results in S3 (moto's server), in a layer on top of $(VENV)
	@test -x $(VENV)/s3/bin/pytest || tests/layer.sh $(VENV) $(VENV)/s3 snakemake-storage-plugin-s3 'moto[server]>=5' >/dev/null 2>&1 || \
		{ rm -rf $(VENV)/s3; echo "no storage test: its packages cannot be installed here"; }
	@test ! -x $(VENV)/s3/bin/pytest || $(VENV)/s3/bin/pytest -q tests/test_storage.py

cluster: $(VENV)/.installed-test  ## the workflow on a SLURM of one node, in a layer on top of $(VENV); needs root and Debian
	@test -x $(VENV)/slurm/bin/snakemake || tests/layer.sh $(VENV) $(VENV)/slurm 'snakemake-executor-plugin-slurm>=2.8,<3' >/dev/null 2>&1 || \
		{ rm -rf $(VENV)/slurm; echo "no SLURM run: its plugin cannot be installed here"; }
	@test ! -x $(VENV)/slurm/bin/snakemake || W2S_CLUSTER_PYTHON=$(VENV)/slurm/bin/python tests/cluster/run.sh $(CLUSTER)

audit:  ## known vulnerabilities of the pinned packages, where the network answers
	@test -x $(VENV)/audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)/audit && \
		$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit 2>/dev/null; } || \
		{ echo "no audit: pip-audit cannot be installed here"; exit 0; }
	@test ! -x $(VENV)/audit/bin/pip-audit || $(VENV)/audit/bin/python tests/audit.py requirements.lock

docs: $(VENV)/.installed  ## write the generated pages anew
	$(BIN)/python docs/generate.py

format: $(VENV)/.installed-test  ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt workflow

finished-run:
	@$(if $(wildcard $(RUN)/tables/main.parquet),:,$(error $(RUN): found no finished run, expected that of `make demo`))

bench: finished-run $(VENV)/.installed-bench  ## all benchmarks (an hour or more) into benchmarks/tables; needs the run of `make demo`
	@set -e; for name in $(BENCHMARKS); do \
		echo "benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py; \
	done

bench-quick: finished-run $(VENV)/.installed-bench  ## the key ratios in under a minute, printed and not kept
	$(BIN)/python benchmarks/quick.py

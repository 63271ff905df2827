# Each target does all the set-up it needs, in .venv; Python 3.11 or newer and make are
# enough. PYTHON=/path/to/python chooses an interpreter.
.POSIX:

PYTHON ?=
EVENTS ?=
SERVE ?=
BENCH ?=
CHAOS ?=
INTEROP ?=
TESTS ?=

SOURCES = merkle client server tests
BIN = .venv/bin
STAMP = .venv/.provlog-installed
COMPILE = uv pip compile --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z.]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: $(STAMP) ## a log in ./data, served on 127.0.0.1:8470 (SERVE: more options)
	@test -e data/provlog.json || \
	    $(BIN)/provlog-server init --dir data --dev --env-file data/dev.env
	@exec $(BIN)/provlog-server serve --dir data $(SERVE)

demo: $(STAMP) ## events in, receipts out, all verified and watched (EVENTS: a folder)
	@$(BIN)/python tests/demo/demo.py "$(EVENTS)"

test: $(STAMP) interop-tools ## every test; what was skipped is listed at the end
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

interop: $(STAMP) interop-tools ## other people's code against ours, at length
	@PROVLOG_TEST_INTEROP=long $(BIN)/python -m pytest $(INTEROP) tests/interop

# Other people's programs, where there is Go; what cannot be fetched skips its tests.
interop-tools:
	@tests/interop/build.sh

check: $(STAMP) ## ruff, mypy, import rules
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## figures of this machine, into bench*.json too (BENCH: options)
	@$(BIN)/python tests/benchmarks/bench.py --json bench.json $(BENCH)
	@$(BIN)/python tests/benchmarks/scim_proxy.py --json bench-proxy.json

benchproxy: $(STAMP) ## of these, what scim-proxy adds to a request (BENCH: options)
	@$(BIN)/python tests/benchmarks/scim_proxy.py --json bench-proxy.json $(BENCH)

fairness: $(STAMP) ## what a quiet submitter notices of a busy one (BENCH: options)
	@$(BIN)/python tests/benchmarks/fairness.py $(BENCH)

chaos: $(STAMP) ## hundreds of kills, cuts and failures; what was lost (CHAOS: options)
	@$(BIN)/python tests/chaos/run.py $(CHAOS)

lies: $(STAMP) ## every lie told to every command; writes the table of docs/threat-model.md
	@$(BIN)/python tests/hostile/table.py --write
	@PROVLOG_TEST_WHOLE_CATALOGUE=1 $(BIN)/python -m pytest -q -n 2 tests/hostile

lock: ## write requirements.lock and deploy/locks anew; needs uv
	@command -v uv >/dev/null || { \
	    echo "make lock needs uv on the PATH: https://docs.astral.sh/uv/" >&2; exit 2; }
	set -e; $(COMPILE) requirements.in -o requirements.lock; \
	for each in runtime build; do \
	    $(COMPILE) -c requirements.lock deploy/locks/$$each.in \
	        -o deploy/locks/$$each.lock; \
	done

clean: ## remove .venv and caches; ./data stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/interop/bin \
	    .import_linter_cache bench.json bench-proxy.json chaos-report.md chaos-report.json
	find merkle client server tests -name __pycache__ -type d -prune \
	    -exec rm -rf {} +

.venv: $(STAMP) ## the environment: everything of requirements.lock and the three packages

# Made anew when the lock or a package's metadata changes, so that it holds what the
# lock names and nothing else. The lock is complete, which pip checks in the end; asked to
# resolve it once more, pip would not take a package with an extra for the one it names.
$(STAMP): requirements.lock merkle/pyproject.toml client/pyproject.toml server/pyproject.toml
	@set -e; \
	python=; \
	for each in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3; do \
	    if "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then python=$$each; break; fi; \
	    if test -n "$(PYTHON)"; then break; fi; \
	done; \
	if test -z "$$python"; then \
	    echo "Python 3.11 or newer was not found. On Debian and Ubuntu install" >&2; \
	    echo "python3 and python3-venv; or say where it is: make PYTHON=/path" >&2; \
	    exit 2; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "$$python cannot make environments: on Debian and Ubuntu install" >&2; \
	    echo "the package python$$version-venv" >&2; \
	    exit 2; \
	fi; \
	echo "making .venv with $$python"; \
	"$$python" -m venv --clear .venv; \
	$(BIN)/python -m pip --disable-pip-version-check install --quiet \
	    --require-hashes --no-deps -r requirements.lock; \
	$(BIN)/python -m pip --disable-pip-version-check install --quiet \
	    --no-deps --no-build-isolation -e ./merkle -e ./client -e ./server; \
	$(BIN)/python -m pip --disable-pip-version-check check >/dev/null; \
	touch $(STAMP)

.PHONY: help run demo test interop interop-tools check bench benchproxy fairness chaos \
    lies lock clean .venv

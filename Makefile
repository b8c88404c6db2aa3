# The two commands are `make demo` and `make test`. The work is in tools/ and CMakePresets.json.
PYTHON ?= python3
TOOLS := build/venv/tools/bin/python
STEPS ?=
AREA ?=
ARGS ?=

.PHONY: help setup demo test verify cross bench soak lint format clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: ## install all that any target needs, and say what and where
	@$(PYTHON) tools/setup

demo: ## index real files with real threads, on a GIL and a free-threaded CPython (ARGS="PATH --threads N")
	@$(PYTHON) tools/setup --for demo
	@$(PYTHON) tools/demo $(ARGS)

test: ## every test, in some 8 minutes (STEPS="c-gcc ruff" for some)
	@$(PYTHON) tools/setup --for test
	@$(TOOLS) tools/run_tests test $(STEPS)

verify: ## the deep part, in some 25 minutes: models, ThreadSanitizer, noise, fuzzing, planted bugs
	@$(PYTHON) tools/setup --for verify
	@$(TOOLS) tools/run_tests verify $(STEPS)

cross: ## the unit tests on other systems: aarch64 under qemu-user, Windows under Wine
	@$(PYTHON) tools/setup --for cross
	@$(TOOLS) tools/run_tests cross $(STEPS)

bench: ## measure against the peers (AREA=locks for one area); writes build/bench/summary.json
	@$(PYTHON) tools/setup --for bench
	@$(TOOLS) bench/run.py $(if $(AREA),--area $(AREA))

soak: ## stress in rounds, each with a new seed, until something fails or Ctrl-C
	@$(PYTHON) tools/setup --for verify
	@$(TOOLS) tools/run_tests soak

lint: ## formatting, static checks and layers
	@$(PYTHON) tools/setup --for test
	@$(TOOLS) tools/run_tests lint

format: ## rewrite C and Python in the project's format
	@git ls-files -z '*.c' '*.h' '*.cc' '*.hpp' | xargs -0 clang-format -i
	@build/venv/tools/bin/ruff check --fix --quiet; build/venv/tools/bin/ruff format --quiet

clean: ## remove build/; the interpreters in the user's cache stay
	rm -rf build

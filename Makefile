# Two commands: `make demo` and `make test`. Each does all of its own set-up.
#   make demo [DEVICE=cpu|cuda] [REVIEWS=file] [SEED=7] [EFFECT=1.0]
#   make test | make check | make lock
DEVICE ?= cpu
BIN := .venv/bin
STAMP := .venv/.installed-$(DEVICE)
DEMO := $(if $(REVIEWS),--reviews $(REVIEWS)) $(if $(SEED),--shop-seed $(SEED)) \
	$(if $(EFFECT),--sentiment-effect $(EFFECT)) $(if $(JSON),--json $(JSON))

# Ray starts many processes: without stored byte code each of them would compile its imports anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check format lock clean

help:
	@sed -n '1,4p' Makefile

$(STAMP): requirements/cpu.txt requirements/gpu.txt pyproject.toml scripts/install.sh
	bash scripts/install.sh $(DEVICE)

$(STAMP)-dev: $(STAMP) requirements/dev.txt
	bash scripts/install.sh $(DEVICE) dev

demo: $(STAMP)
	$(BIN)/sentirec demo --device $(DEVICE) $(DEMO)

test: $(STAMP)-dev
	$(BIN)/python -m pytest $(PYTEST)

check: $(STAMP)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(STAMP)-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	$(or $(PYTHON),$(if $(wildcard $(BIN)/python),$(BIN)/python,python3)) scripts/lock.py cpu gpu dev

clean:
	rm -rf .venv build dist *.egg-info runs .pytest_cache .ruff_cache .hypothesis

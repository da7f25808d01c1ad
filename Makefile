# make demo   set up, then photo + sentence -> mask + video with the embedded model, in out/demo
# make test   set up, then lint, types and every test that this machine can run
PYTHON ?= python3
TORCH  ?= torch==2.13.0
BIN    := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY     := $(BIN)/python
export PYTHONPATH := $(CURDIR)

.PHONY: demo test setup lint format types core-test bench table2 embedded-model workflows workflows-newer blueprints banner help-pictures clean

demo: setup
	$(PY) -m ivg_core demo --out out/demo

# Side by side, a file at a time; one thread each, or they would take the cores from each other.
test: export OMP_NUM_THREADS := 1
test: setup lint types
	$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

setup: .venv/ready

.venv/ready: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet "$(TORCH)"
	$(PY) -m pip install --quiet -r requirements-dev.txt
	$(PY) -m pip install --quiet --no-deps comfyui-frontend-package==1.58.1
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --recursive --severity-level medium ivg_core nodes
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup
	$(BIN)/mypy

core-test: setup
	$(PY) -m pytest tests/core

bench: setup
	$(PY) -m benchmarks rom --record benchmarks
	PYTHONPATH=.:tests $(PY) benchmarks/import_time.py
	$(PY) benchmarks/evaluate.py --out out/evaluate --record benchmarks
	$(PY) -m benchmarks annotate --record benchmarks
	$(PY) -m benchmarks handscore --record benchmarks
	$(PY) -m benchmarks fast --record benchmarks
	$(PY) -m benchmarks malformed --record benchmarks --out out/malformed.txt
	$(PY) benchmarks/speed.py --record benchmarks
	$(PY) benchmarks/memory.py
	$(PY) benchmarks/fast_full_size.py --record benchmarks

# The paper's Table 2 on drawn scenes, beside the paper's: about an hour; it resumes. To try it out, without recording:
# make table2 TABLE2="--work out/try --steps 2 --scenes 1 --seeds 1"
TABLE2 ?= --record benchmarks
table2: setup
	$(PY) -m benchmarks table2 $(TABLE2)

# Hours on two cores; resumes where it was stopped. The result replaces the model that ships inside.
embedded-model: setup
	$(PY) -m recipes.embedded --work out/embedded --out ivg_core/assets/ivg-tiny.safetensors

# Builds workflows/*.json and their thumbnails in the oldest supported ComfyUI (COMFYUI_PATH, or ~/ComfyUI).
workflows: setup
	PYTHONPATH=.:tests $(PY) tests/comfyui/make_workflows.py --shots out/shots
	PYTHONPATH=.:tests $(PY) tests/comfyui/make_rom_workflows.py --shots out/shots
	PYTHONPATH=.:tests $(PY) tests/comfyui/batch_graphs.py --shots out/shots
	PYTHONPATH=.:tests $(PY) tests/comfyui/how_to_graphs.py --shots out/shots
	PYTHONPATH=.:tests $(PY) tests/comfyui/training_graphs.py --shots out/shots

# Builds those that need a newer ComfyUI's nodes (SAM3, all of core's windows: 0.33), in that one: COMFYUI_PATH names it.
workflows-newer: setup
	PYTHONPATH=.:tests $(PY) tests/comfyui/make_rom_workflows.py --newer --shots out/shots

# Builds subgraphs/*.json in the same ComfyUI, with the newer interface.
blueprints: setup
	PYTHONPATH=.:tests $(PY) tests/comfyui/make_blueprints.py

# docs/banner.png, the registry's picture.
banner: setup
	$(PY) -m ivg_core demo --scene 3 --out out/banner
	$(PY) -m recipes.banner --demo out/banner --out docs/banner.png

# The picture on each node's help page, from the same ComfyUI.
help-pictures: setup
	PYTHONPATH=.:tests $(PY) tests/comfyui/make_help_pictures.py

clean:
	rm -rf .venv out

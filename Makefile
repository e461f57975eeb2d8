# `make demo` and `make test` set up what they need. PYTHON=... or an active virtual environment is used as it is;
# otherwise .venv is made once.
ifdef PYTHON
  PY := $(PYTHON)
else ifdef VIRTUAL_ENV
  PY := "$(VIRTUAL_ENV)/bin/python"
else
  PY := .venv/bin/python
  VENV := .venv/bin/python
endif
SHELL := /bin/bash
# What is installed is recorded beside the interpreter, so that a second call installs nothing; here, where make could
# not name that folder or nobody may write there.
WHERE := import hashlib, os, sys; here = sys.prefix; \
    print(here if len(here.split()) == 1 and os.access(here, os.W_OK) else \
          ".stamps/" + hashlib.sha256(here.encode()).hexdigest()[:12])
STAMP_DIR := $(if $(VENV),.venv,$(or $(shell $(PY) -c '$(WHERE)'),.venv))
STAMP := $(STAMP_DIR)/.bkdsnn-installed
TESTS_STAMP := $(STAMP_DIR)/.bkdsnn-tests-installed
DOCS_STAMP := $(STAMP_DIR)/.bkdsnn-docs-installed
PIP := $(PY) -m pip install --disable-pip-version-check -q
# Memory that is freed stays in the process: otherwise a tenth of the time is page faults.
MALLOC := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=1000000000
PYTEST := $(MALLOC) OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist worksteal --durations=15
DEMO := work_dirs/demo
FORMER := configs/demo/spikingformer
EVENTS := configs/demo/events

# Settings that `make tune-...` searches.
LR := optim_wrapper.optimizer.lr
DECAY := optim_wrapper.optimizer.weight_decay
BKD := model.losses.loss_bkd.loss_weight
TAU := model.losses.loss_wsld.tau

.PHONY: demo demo-all demo-spikingformer demo-events demo-weights tune tune-spikingformer tune-events test test-fast \
    test-long test-any-cpu lint docs bench install clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo      train teacher, plain and distilled students; table and report in $(DEMO)'
	@echo 'make demo-all  the same with KD, WSLD-only and BKD-only'
	@echo 'make demo-spikingformer  Spikingformer at 32 pixels, distilled from a CNN and from a ViT'
	@echo 'make demo-events  a student that sees 4 frames of simulated events, distilled from a teacher that sees 16'
	@echo 'make demo-weights  publish what the three demos have trained as the weights of the package'
	@echo 'make tune      the search for the learning rates in configs/demo'
	@echo 'make test      lint and tests; make test-fast leaves out whole runs, make test-long runs what takes longest,'
	@echo '               make test-any-cpu imitates other processors'
	@echo 'make bench     all benchmarks, for a quiet machine; writes docs/benchmarks_measured.md'
	@echo 'make docs      the site, in docs/_build/html'

.venv/bin/python:
	python3 -m venv .venv

$(STAMP): $(VENV) setup.py requirements/runtime.txt
	$(PIP) -e .
	@mkdir -p $(@D) && touch $@

$(TESTS_STAMP): $(STAMP) requirements/tests.txt
	$(PIP) -r requirements/tests.txt
	@mkdir -p $(@D) && touch $@

$(DOCS_STAMP): $(STAMP) requirements/docs.txt
	$(PIP) -r requirements/docs.txt
	@mkdir -p $(@D) && touch $@

install: $(TESTS_STAMP)

demo: METHODS := plain mixed
demo-all: METHODS := plain kd wsld bkd mixed
demo demo-all: $(STAMP)
	$(PY) tools/train_seeds.py configs/demo/teacher.py --single
	$(PY) tools/train_seeds.py $(METHODS:%=configs/demo/%.py) --seeds 5
	$(PY) tools/analysis_tools/compare_runs.py $(DEMO)
	$(PY) tools/analysis_tools/report.py $(DEMO)

# Equal effort: the same learning rates for all, and as many points for plain (18) as for mixed (nine of its own, at the
# temperature that the nine of wsld have chosen).
tune: $(STAMP)
	$(PY) tools/train_seeds.py configs/demo/teacher.py --single
	$(PY) tools/tune.py configs/demo/plain.py --grid $(LR)=0.1,0.3,1 $(DECAY)=1e-4,5e-4,2e-3 \
	    optim_wrapper.clip_grad.max_norm=1,5
	$(PY) tools/tune.py configs/demo/kd.py --grid $(LR)=0.1,0.3,1 model.losses.loss_kd.tau=2,4,8
	$(PY) tools/tune.py configs/demo/wsld.py --grid $(LR)=0.1,0.3,1 $(TAU)=2,4,8
	$(PY) tools/tune.py configs/demo/bkd.py --grid $(LR)=0.1,0.3,1 $(BKD)=5e-3,2e-2,5e-2
	$(PY) tools/tune.py configs/demo/mixed.py --grid $(LR)=0.1,0.3,1 $(BKD)=5e-3,2e-2,5e-2

demo-events: $(STAMP)
	$(PY) tools/train_seeds.py $(EVENTS)_teacher.py --single
	$(PY) tools/train_seeds.py $(EVENTS)_plain.py $(EVENTS)_mixed.py --seeds 5
	$(PY) tools/analysis_tools/compare_runs.py work_dirs/demo_events
	$(PY) tools/analysis_tools/report.py work_dirs/demo_events
	$(PY) tools/visualization/browse_dataset.py $(EVENTS)_mixed.py --output-dir work_dirs/demo_events/samples

# Twelve points for each: first a grid of nine, then three more beyond its best one.
tune-events: $(STAMP)
	$(PY) tools/train_seeds.py $(EVENTS)_teacher.py --single
	$(PY) tools/tune.py $(EVENTS)_plain.py --grid $(LR)=0.1,0.3,1 $(DECAY)=1e-4,5e-4,2e-3
	$(PY) tools/tune.py $(EVENTS)_plain.py --grid $(LR)=1 $(DECAY)=5e-3
	$(PY) tools/tune.py $(EVENTS)_plain.py --grid $(LR)=3 $(DECAY)=5e-4,2e-3
	$(PY) tools/tune.py $(EVENTS)_mixed.py --grid $(LR)=0.1,0.3,1 $(BKD)=5e-3,2e-2,5e-2
	$(PY) tools/tune.py $(EVENTS)_mixed.py --grid $(LR)=0.3 $(BKD)=2e-2 $(TAU)=2,8
	$(PY) tools/tune.py $(EVENTS)_mixed.py --grid $(LR)=0.3 $(BKD)=5e-2 $(TAU)=8

# The weights that come with the package: of each student, seed 0.
demo-weights: $(STAMP)
	$(PY) tools/model_converters/publish_to_zoo.py demo/teacher=$(DEMO)/teacher demo/plain=$(DEMO)/plain/seed0 \
	    demo/mixed=$(DEMO)/mixed/seed0 demo/events_teacher=work_dirs/demo_events/teacher \
	    demo/events_plain=work_dirs/demo_events/plain/seed0 demo/events_mixed=work_dirs/demo_events/mixed/seed0 \
	    demo/spikingformer_teacher_vit=work_dirs/demo_spikingformer/teacher_vit
	$(PY) tools/analysis_tools/model_zoo.py configs/demo

demo-spikingformer: $(STAMP)
	$(PY) tools/train_seeds.py $(FORMER)_teacher_cnn.py $(FORMER)_teacher_vit.py --single
	$(PY) tools/train_seeds.py $(FORMER)_plain.py $(FORMER)_bkd_cnn.py $(FORMER)_bkd_vit.py --seeds 5
	$(PY) tools/analysis_tools/compare_runs.py work_dirs/demo_spikingformer

# Eight points for each: first a grid of six, then two more beyond its best one (plain: a fourth learning rate).
tune-spikingformer: $(STAMP)
	$(PY) tools/train_seeds.py $(FORMER)_teacher_cnn.py $(FORMER)_teacher_vit.py --single
	$(PY) tools/tune.py $(FORMER)_plain.py --grid $(LR)=1e-3,3e-3,1e-2,3e-2 $(DECAY)=0.05,0.3
	$(PY) tools/tune.py $(FORMER)_bkd_cnn.py --grid $(LR)=1e-3,3e-3,1e-2 $(BKD)=5e-4,2e-3
	$(PY) tools/tune.py $(FORMER)_bkd_cnn.py --grid $(LR)=3e-3 $(BKD)=5e-3,1e-2
	$(PY) tools/tune.py $(FORMER)_bkd_vit.py --grid $(LR)=1e-3,3e-3,1e-2 $(BKD)=2e-2,1e-1
	$(PY) tools/tune.py $(FORMER)_bkd_vit.py --grid $(LR)=1e-2 $(BKD)=5e-3,1e-3

lint: $(TESTS_STAMP)
	$(PY) -m ruff check .

# All but what takes longest, which test-long runs.
test: lint
	$(PYTEST) -m 'not long'

test-long: $(TESTS_STAMP)
	BKDSNN_KILLS=20 $(PYTEST) -m long

# Without whole runs, tools, exports and what has to be compiled.
test-fast: lint
	$(PYTEST) -m 'not slow and not long'

# What an instruction set or the order of a sum could change, as on a processor without AVX-512, and with four threads.
test-any-cpu: $(TESTS_STAMP)
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(PYTEST) -m any_cpu
	BKDSNN_TEST_THREADS=4 $(PY) -m pytest -m any_cpu

# spikingjelly without its dependencies, most of which it does not need here.
bench: $(STAMP)
	$(PIP) --no-deps spikingjelly==2.0.0 loguru
	$(PY) benchmarks/write_page.py

docs: $(DOCS_STAMP)
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf docs/_build build *.egg-info

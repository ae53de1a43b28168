# make help says what there is.
SHELL := /bin/bash
export CMAKE_CXX_COMPILER_LAUNCHER := $(shell command -v ccache)
BUILD := build/tests
PYTHON := .venv/bin/python
SOURCES = $(shell find include src bindings simulate python CMakeLists.txt cmake pyproject.toml -type f -not -path '*/__pycache__/*' 2>/dev/null)

.PHONY: help setup demo image-context image bench-readers bench bench-sweeps bench-watch bench-check test check check-rest sanitize threads fuzz soak coverage peers apiserver kubelet page arm64 avx512 consumers lint clean

help:
	@echo 'make demo     scrape a simulated cluster of 20 nodes and show a table'
	@echo 'make test     build everything and run all functional tests'
	@echo 'make check    the tests, then sanitizers, fuzzing, a soak of the kernels, peers, benchmarks'
	@echo '              for a moment, the parser on 64-bit ARM under an emulator, consumers and lint'
	@echo 'make image-context  put the package where the image of the cluster is built from'
	@echo 'make image    build that image from Debian packages with buildah, and run its commands;'
	@echo '              with BY=sources as where no wheel fits'
	@echo 'make apiserver  run the manifests and the library against a real Kubernetes API server, built once'
	@echo 'make kubelet  read a real kubelet with containerd, joined to that API server; needs root'
	@echo 'make bench-readers  50 readers of the aggregation API while 100 nodes are collected, 15 minutes'
	@echo 'make bench    parsers, pages to pandas and sweeps against others and the limits, in Markdown;'
	@echo '              with WRITE=docs/performance.md into its tables'
	@echo 'make bench-sweeps  100, 1,000 and 5,000 nodes, peers on the same targets, hostile nodes; 40 minutes;'
	@echo '              with WRITE=docs/performance.md into its tables'
	@echo 'make bench-watch  an hour of watching at 1 s while nodes and pods come and go: memory, descriptors'
	@echo '              and threads minute by minute; MINUTES=20 for less'
	@echo 'make soak     small pages by chance, read by every kernel: RUNS=100000000 SEED=1'
	@echo 'make coverage  lines and branches of the parser that no test reaches, held to docs/coverage.md'
	@echo 'make avx512   the kernel of AVX-512 on this processor, or in an emulator that has it'
	@echo 'make setup    install what is needed, nothing more'
	@echo 'make clean    remove what was built'

setup:
	@tools/setup

.venv/.package: $(SOURCES) | setup
	@echo '== python: building the package into .venv'
	@$(PYTHON) -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall .
	@touch $@

demo: setup
	@mkdir -p build
	@$(MAKE) --no-print-directory .venv/.package
	@.venv/bin/computelocator demo

image-context: $(if $(filter Linux,$(shell uname -s)),setup)
	@tools/image-context

image: image-context
	@mkdir -p build
	@$(MAKE) --no-print-directory .venv/.package
	@tools/image $(BY)

bench-readers: setup
	@mkdir -p build
	@$(MAKE) --no-print-directory .venv/.package
	@$(PYTHON) benchmarks/readers.py

build/bench/benchmarks/computelocator_bench: $(SOURCES) $(wildcard benchmarks/*.hpp benchmarks/*.cpp benchmarks/CMakeLists.txt)
	@tools/setup bench
	@mkdir -p build
	@echo '== benchmarks: building'
	@cmake -S . -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DCOMPUTELOCATOR_BUILD_BENCHMARKS=ON -DCOMPUTELOCATOR_COLUMNS_ONLY=OFF -DCOMPUTELOCATOR_BUILD_TESTS=OFF -DCOMPUTELOCATOR_BUILD_EXAMPLES=OFF -DCOMPUTELOCATOR_BUILD_SIMULATOR=OFF -DCOMPUTELOCATOR_INSTALL=OFF >build/bench.log 2>&1 || { cat build/bench.log; exit 1; }
	@cmake --build build/bench --target computelocator_bench computelocator_sweeps
	@touch $@

bench: setup build/bench/benchmarks/computelocator_bench
	@$(MAKE) --no-print-directory .venv/.package
	@tools/peers go_parsers.so
	@$(PYTHON) benchmarks/run.py $(if $(WRITE),--write $(WRITE))

MINUTES ?= 60
bench-watch: setup
	@mkdir -p build
	@$(MAKE) --no-print-directory .venv/.package
	@$(PYTHON) benchmarks/watch_hour.py --minutes $(MINUTES)

bench-check: setup build/bench/benchmarks/computelocator_bench
	@$(MAKE) --no-print-directory .venv/.package
	@tools/peers go_parsers.so
	@echo '== benchmarks: every contender for a moment, answers compared'
	@$(PYTHON) benchmarks/run.py --check
	@tools/peers prometheus vmagent
	@echo '== benchmarks: sweeps of small clusters, peers on the same, hostile nodes; answers compared'
	@$(PYTHON) benchmarks/sweeps.py --check

bench-sweeps: setup build/bench/benchmarks/computelocator_bench
	@$(MAKE) --no-print-directory .venv/.package
	@tools/peers prometheus vmagent
	@$(PYTHON) benchmarks/sweeps.py $(if $(WRITE),--write $(WRITE))

test: setup
	@mkdir -p build
	@$(MAKE) --no-print-directory .venv/.package
	@echo '== C++: building'
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@cmake --build $(BUILD)
	@echo '== C++: tests'
	@ctest --test-dir $(BUILD) --output-on-failure
	@echo '== Python: tests'
	@$(PYTHON) -m pytest

check: test check-rest

check-rest: sanitize threads fuzz soak peers page bench-check arm64 consumers lint

sanitize: setup
	@echo '== C++: tests under the address and undefined behaviour sanitizers'
	@mkdir -p build
	@cmake -S . -B build/sanitize -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS='-O1 -fsanitize=address,undefined -fno-sanitize-recover=all' >build/sanitize.log 2>&1 || { cat build/sanitize.log; exit 1; }
	@cmake --build build/sanitize
	@ctest --test-dir build/sanitize --output-on-failure

threads: setup
	@echo '== C++: the rooms with threads under the thread sanitizer'
	@mkdir -p build
	@cmake -S . -B build/threads -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS='-O1 -fsanitize=thread -Wno-tsan' -DCOMPUTELOCATOR_BUILD_EXAMPLES=OFF >build/threads.log 2>&1 || { cat build/threads.log; exit 1; }
	@cmake --build build/threads --target computelocator_scrape_test computelocator_watcher_test computelocator_history_test
	@build/threads/tests/computelocator_scrape_test --gtest_brief=1
	@build/threads/tests/computelocator_watcher_test --gtest_brief=1
	@build/threads/tests/computelocator_history_test --gtest_brief=1

FUZZ_SECONDS ?= 20
fuzz: setup
	@tools/setup check
	@echo '== fuzzing: the corpus, then $(FUZZ_SECONDS) s a target'
	@mkdir -p build
	@cmake -S . -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER=$$(tools/setup clang) -DCMAKE_CXX_FLAGS='-O1 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all' -DCOMPUTELOCATOR_BUILD_FUZZERS=ON -DCOMPUTELOCATOR_BUILD_TESTS=OFF -DCOMPUTELOCATOR_BUILD_EXAMPLES=OFF -DCOMPUTELOCATOR_BUILD_SIMULATOR=OFF >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
	@cmake --build build/fuzz --target fuzz_text fuzz_push fuzz_kernels fuzz_inflate fuzz_http_response fuzz_discover fuzz_samples_json fuzz_history fuzz_watch
	@words=tests/fuzz/text.dict; for name in text push kernels inflate http_response discover samples_json history watch; do \
	  mkdir -p build/fuzz/found/$$name; \
	  build/fuzz/tests/fuzz/fuzz_$$name -runs=0 tests/fuzz/corpus/$$name 2>build/fuzz/$$name.log || { cat build/fuzz/$$name.log; exit 1; }; \
	  build/fuzz/tests/fuzz/fuzz_$$name $$(case $$name in text|push|kernels) echo -dict=$$words;; esac) -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -artifact_prefix=build/fuzz/ build/fuzz/found/$$name tests/fuzz/corpus/$$name 2>build/fuzz/$$name.log || { tail -40 build/fuzz/$$name.log; exit 1; }; \
	  printf '%-14s %s\n' $$name "$$(tail -1 build/fuzz/$$name.log)"; \
	done

RUNS ?= 2000000
SEED ?= 1
soak: setup
	@mkdir -p build
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@cmake --build $(BUILD) --target computelocator_soak
	@echo '== soak: $(RUNS) small pages by every kernel'
	@$(BUILD)/tests/computelocator_soak $(RUNS) $(SEED) build/soak.page tests/fuzz/text.dict tests/fuzz/corpus/kernels tests/fuzz/corpus/text tests/fuzz/corpus/push

coverage: setup
	@tools/setup coverage
	@$(PYTHON) tools/coverage

peers: setup
	@mkdir -p build
	@$(MAKE) --no-print-directory .venv/.package
	@tools/peers
	@echo '== Python: a real Prometheus server on the same simulated cluster; its parser on every page; its configuration'
	@$(PYTHON) -m pytest tests/python/test_prometheus.py tests/python/test_textparse.py tests/python/test_system.py tests/python/test_manifests.py

apiserver: setup
	@mkdir -p build
	@$(MAKE) --no-print-directory .venv/.package
	@tools/peers etcd kube-apiserver kubectl promtool
	@echo '== Python: manifests, rights and the library against a real Kubernetes API server'
	@$(PYTHON) -m pytest tests/python/test_apiserver.py

kubelet: setup
	@mkdir -p build
	@$(MAKE) --no-print-directory .venv/.package
	@tools/peers etcd kube-apiserver kubectl kubelet containerd
	@echo '== Python: a real kubelet with containerd, read by the account of the collector'
	@$(PYTHON) -m pytest tests/python/test_kubelet.py

page: setup
	@mkdir -p build
	@$(MAKE) --no-print-directory .venv/.package
	@tools/setup page
	@echo '== Python: the page of the cluster in Chromium, light and dark'
	@$(PYTHON) -m pytest tests/python/test_page.py

avx512: setup
	@tools/avx512 $(PAGES)

arm64: setup
	@tools/check-arm64

consumers: setup
	@tools/check-consumers

lint: setup
	@echo '== Python: ruff and mypy'
	@.venv/bin/ruff check python tests/python benchmarks tools/coverage
	@.venv/bin/mypy

clean:
	rm -rf build

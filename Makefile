# sluice: `make demo` and `make check` (as root, on Debian 12) do everything, installing what they need.
#
#   make            builds sluice-relay, sluice-control, sluice-inspect and the XDP program
#   make check      every test: units, the same under sanitizers, XDP program, end to end, Debian's kernel in QEMU
#   make demo       two real QUIC servers behind the relay, a real client, in network namespaces
#   make bench      the relay against baselines, in network namespaces; bench-quick: in a minute
#   make interop    current QUIC stacks with each other through the relay; fetches them (docs/interop.md)
#   make fuzz       each fuzz target for FUZZ_SECONDS under libFuzzer
#   make install    to $(DESTDIR)$(PREFIX)

BUILD   ?= build
# As one name, however it was given: the dependency files name objects by it.
override BUILD := $(abspath $(BUILD))
PREFIX  ?= /usr/local
CC      := gcc
CLANG   ?= clang
BPFTOOL ?= /usr/sbin/bpftool
WERROR  ?=
FUZZ_SECONDS ?= 30

PACKAGES := libxdp libbpf libcrypto yaml-0.1 libpcap liburcu-qsbr liburcu-cds libmnl hiredis openssl
CFLAGS   := -O2 -g -std=gnu11 -D_GNU_SOURCE -pthread -fno-strict-aliasing \
            -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
CPPFLAGS := -I. -I$(BUILD) $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LDLIBS   := -Wl,--as-needed $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm -pthread
# What only sluice-control needs; tests link with everything.
CONTROL_LIBS := -Wl,--as-needed -lcivetweb -ljansson -lcurl
ifdef SANITIZE
CFLAGS   += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS  += -fsanitize=address,undefined
endif

BPF_ARCH   := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra $(if $(WERROR),-Werror) -D__TARGET_ARCH_$(BPF_ARCH) -I. \
              -I/usr/include/$(shell uname -m)-linux-gnu

PROGRAMS   := $(BUILD)/sluice-relay $(BUILD)/sluice-control $(BUILD)/sluice-inspect
MAINS      := userspace/main.c userspace/inspect.c control/main.c
LIB_SRCS   := $(filter-out $(MAINS),$(wildcard userspace/*.c control/*.c))
LIB_OBJS   := $(LIB_SRCS:%.c=$(BUILD)/%.o)
LIB        := $(BUILD)/libsluice.a
TEST_LIB   := $(BUILD)/libtest.a
TEST_LIB_SRCS := $(wildcard tests/lib/*.c)
SKELETON   := $(BUILD)/sluice_xdp.skel.h
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
XDP_TESTS  := $(patsubst tests/xdp/%.c,$(BUILD)/tests/%,$(wildcard tests/xdp/test_*.c))
NETNS_TESTS := $(patsubst tests/netns/%.c,$(BUILD)/tests/%,$(wildcard tests/netns/test_*.c))
REPLAYS    := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/replay_%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZERS    := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all deps tests c-peers check check-unit check-sanitize check-xdp check-netns netns-tests check-e2e check-vm demo fuzz install clean
.DELETE_ON_ERROR:
.SECONDARY:

# Goals that set the machine up start over in a make of their own: pkg-config's answers are from before.
all: $(PROGRAMS)

deps:
	scripts/deps.sh

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/userspace/dataplane.o: $(SKELETON)

$(BUILD)/control/api_process.o: control/openapi.json

$(BUILD)/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

$(BUILD)/tests/bench/%.bpf.o: tests/bench/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $(notdir $*) > $@

$(LIB): $(LIB_OBJS)
	@rm -f $@
	$(AR) rcs $@ $^

# What tests share, tests/lib/; each test takes what it uses.
$(TEST_LIB): $(TEST_LIB_SRCS:%.c=$(BUILD)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/sluice-relay: $(BUILD)/userspace/main.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/sluice-control: $(BUILD)/control/main.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(CONTROL_LIBS) $(LDLIBS)

$(BUILD)/sluice-inspect: $(BUILD)/userspace/inspect.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

LINK_TEST = $(CC) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(CONTROL_LIBS) $(LDLIBS) -lcmocka

$(UNIT_TESTS): $(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(TEST_LIB) $(LIB)
	$(LINK_TEST)

# The XDP program under BPF_PROG_TEST_RUN: root. What its tests share lies beside them.
XDP_SHARED := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/xdp/test_%,$(wildcard tests/xdp/*.c)))

$(XDP_TESTS): $(BUILD)/tests/%: $(BUILD)/tests/xdp/%.o $(XDP_SHARED) $(TEST_LIB) $(LIB)
	$(LINK_TEST)

$(XDP_SHARED) $(XDP_TESTS:$(BUILD)/tests/%=$(BUILD)/tests/xdp/%.o): $(SKELETON)

# Tests that make network namespaces of their own: root.
$(NETNS_TESTS): $(BUILD)/tests/%: $(BUILD)/tests/netns/%.o $(TEST_LIB) $(LIB)
	$(LINK_TEST)

# A fuzz target that runs its corpus, tests/fuzz/corpus/NAME/, as a plain test.
$(BUILD)/tests/replay_%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o $(TEST_LIB) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(CONTROL_LIBS) $(LDLIBS)

# Test peers in C that use what tests share.
C_PEERS := $(patsubst tests/peers/%.c,$(BUILD)/tests/%,$(wildcard tests/peers/*.c))
$(C_PEERS): $(BUILD)/tests/%: $(BUILD)/tests/peers/%.o $(TEST_LIB) $(LIB)
	$(LINK_TEST)
c-peers: $(C_PEERS)

$(BUILD)/fuzz/%: tests/fuzz/%.c $(TEST_LIB_SRCS) $(LIB_SRCS) $(SKELETON)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) -O1 -g -std=gnu11 -D_GNU_SOURCE -fno-strict-aliasing \
	  -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $< $(TEST_LIB_SRCS) $(LIB_SRCS) $(CONTROL_LIBS) $(LDLIBS) -lcmocka

# The bench: its programs for the kernel become skeletons too.
BENCH_SRCS := $(filter-out %.bpf.c,$(wildcard tests/bench/*.c))
BENCH_OBJS := $(BENCH_SRCS:%.c=$(BUILD)/%.o)
BENCH_SKELETONS := $(patsubst %.bpf.c,$(BUILD)/%.skel.h,$(wildcard tests/bench/*.bpf.c))

$(BENCH_OBJS): $(BENCH_SKELETONS)

$(BUILD)/sluice-bench: $(BENCH_OBJS) $(TEST_LIB) $(LIB)
	$(LINK_TEST)

# The bench is built with them, not run: so that it does not fall behind the code.
tests: $(UNIT_TESTS) $(REPLAYS) $(BUILD)/sluice-bench

check:
	scripts/deps.sh test
	$(MAKE) run-check
demo:
	scripts/deps.sh demo
	$(MAKE) run-demo

bench bench-quick:
	scripts/deps.sh bench
	$(MAKE) run-$@

# Apart from the tests: these peers come from their own registries. No other target needs it.
interop:
	scripts/deps.sh interop
	$(MAKE) run-interop

.PHONY: run-check run-demo bench bench-quick run-bench run-bench-quick interop run-interop
run-check: all
	scripts/check.sh

run-demo: all
	scripts/demo.sh
run-interop: all
	tests/interop/run.sh

run-bench: all $(BUILD)/sluice-bench $(BUILD)/xdp_pass.bpf.o
	scripts/bench.sh
run-bench-quick: all $(BUILD)/sluice-bench $(BUILD)/xdp_pass.bpf.o
	scripts/bench.sh -q

check-unit: tests
	scripts/check.sh unit
check-sanitize:
	scripts/check.sh sanitize
check-xdp: $(XDP_TESTS)
	scripts/check.sh xdp
check-e2e: all
	scripts/check.sh e2e
check-vm: all
	scripts/check.sh vm
xdp-tests: $(XDP_TESTS)
check-netns: $(NETNS_TESTS)
	scripts/check.sh netns
netns-tests: $(NETNS_TESTS)

fuzz: $(FUZZERS)
	@for f in $(FUZZERS); do \
	  name=$$(basename $$f); mkdir -p $(BUILD)/fuzz/corpus/$$name; \
	  echo "fuzz: $$name, $(FUZZ_SECONDS) s"; \
	  $$f -max_total_time=$(FUZZ_SECONDS) -timeout=5 -artifact_prefix=$(BUILD)/fuzz/ \
	    $(BUILD)/fuzz/corpus/$$name tests/fuzz/corpus/$$name 2>$(BUILD)/fuzz/$$name.log || \
	    { tail -30 $(BUILD)/fuzz/$$name.log; exit 1; }; \
	done

install: all
	install -D -t $(DESTDIR)$(PREFIX)/sbin $(BUILD)/sluice-relay $(BUILD)/sluice-control
	install -D -t $(DESTDIR)$(PREFIX)/bin $(BUILD)/sluice-inspect

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

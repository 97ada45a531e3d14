# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# dmatrack. 'make' builds everything that can be built on this machine;
# 'make help' lists the rest. Objects go to $(O), never beside sources.
#
# VARIANT chooses how user space is built, each in a folder of its own:
#   release   as shipped
#   asan      under AddressSanitizer and UBSan: what tests run
#   tsan      under ThreadSanitizer: tests of what is concurrent
#   static    linked statically, for the initramfs of a VM

# Of all there is, and of the libraries' interfaces: SOVERSION changes when a symbol
# goes, or takes other arguments
VERSION	:= $(shell cat VERSION)
SOVERSION := 1

O	?= build
# One name for a folder, however it is given: files of dependencies name their targets.
override O := $(patsubst $(CURDIR)/%,%,$(abspath $(O)))
VARIANT	?= release
KERNEL	?= 6.12
B	:= $(O)/$(VARIANT)

CC	:= gcc
CSTD	:= -std=gnu11
WERROR	:= -Werror
WARN	:= -Wall -Wextra -Wno-unused-parameter -Wstrict-prototypes \
	   -Wmissing-prototypes -Wshadow=compatible-local -Wvla $(WERROR)
OPT	:= -O2 -g -fno-strict-aliasing

# one set of objects for shared and static libraries, which reach a thread's memory without
# a call
FLAGS_release	:= -fPIC -fno-semantic-interposition -ftls-model=initial-exec
FLAGS_asan	:= -fsanitize=address,undefined -fno-sanitize-recover=all \
		   -fno-omit-frame-pointer
FLAGS_tsan	:= -fsanitize=thread
FLAGS_static	:=
# libc warns of what looks names up: no library is there to do it in the VM
LDFLAGS_static	:= -static -Wl,--no-warnings

# Includes name a file of the same folder, or one by its path from here. From engine/
# comes dmt_env.h, of which the kernel's side has another.
CPPFLAGS += -D_GNU_SOURCE -I. -Iinclude -Iengine
ALLFLAGS := $(CSTD) $(OPT) $(WARN) $(FLAGS_$(VARIANT)) $(CFLAGS) $(CPPFLAGS)
$(B)/obj/cli/%.o: ALLFLAGS += -DDMATRACK_RELEASE=\"$(VERSION)\"
ALLLD	 := $(FLAGS_$(VARIANT)) $(LDFLAGS_$(VARIANT)) $(LDFLAGS)
# What the libraries need, by pkg-config's names, which their .pc files tell to static
# programs: libdmatrack, and libdmatrack-copy beyond that
NEEDS		:= liburcu-bp
NEEDS-copy	:= libzstd libssl libcrypto
libs-of		= $(shell pkg-config --libs $(1)) -lpthread
LIBS		= $(call libs-of,$(NEEDS-copy) $(NEEDS))

CORE	:= $(wildcard core/*.c)
ENGINE	:= $(wildcard engine/*.c)
# libdmatrack harvests. libdmatrack-copy copies, on top of it, through what it exports;
# what both need of lib/util is in both, as neither exports it
LIB	:= $(wildcard lib/container/*.c) $(addprefix lib/util/,clock.c error.c sized.c)
COPY	:= $(wildcard lib/precopy/*.c lib/image/*.c lib/stream/*.c lib/watch/*.c \
	     lib/process/*.c lib/util/*.c)
DEVICES	:= $(wildcard devices/*.c)
CLI	:= $(wildcard cli/*.c cli/*/*.c)

objs	= $(patsubst %.c,$(B)/obj/%.o,$(1))

OBJS		:= $(call objs,$(CORE) $(ENGINE) $(LIB))
OBJS-copy	:= $(call objs,$(COPY))
LIBRARIES	:= libdmatrack libdmatrack-copy
STATIC		:= $(LIBRARIES:%=$(B)/%.a)
SHARED		:= $(LIBRARIES:%=$(B)/%.so.$(SOVERSION))
# What programs of this project are linked with
LINKED_WITH := $(B)/devices.a $(B)/libdmatrack-copy.a $(B)/libdmatrack.a

# A program for each folder, or for each file of a folder of small tests
EXACT	:= $(wildcard test/exact/*.c)
CONFORM	:= $(wildcard test/conform/*.c) $(EXACT)
FUZZ	:= $(wildcard test/fuzz/calls/*.c) $(EXACT)
MIGRATE	:= $(wildcard test/qemu/migrate/*.c)
# no use under TSan
BENCH	:= $(if $(filter tsan,$(VARIANT)),,$(wildcard bench/*.c))
SINGLE	:= $(wildcard test/unit/*.c test/fault/*.c test/stress/*.c test/fuzz/*.c \
	     test/client/*.c test/qemu/*.c test/record/*.c test/watch/*.c)
# one thread that plays many, or one alone: nothing for TSan to see
ifeq ($(VARIANT),tsan)
SINGLE	:= $(filter-out test/unit/schedule_% test/unit/process_copy.c,$(SINGLE))
endif
# stands before libc's own pthread_create(), which a static program has but once
ifeq ($(VARIANT),static)
SINGLE	:= $(filter-out test/unit/process.c,$(SINGLE))
endif
PROGS	:= $(if $(CLI),$(B)/dmatrack) $(if $(CONFORM),$(B)/conform) \
	   $(B)/test/fuzz/calls \
	   $(if $(MIGRATE),$(B)/migrate) $(if $(BENCH),$(B)/bench) \
	   $(patsubst %.c,$(B)/%,$(SINGLE))

# make V=1 shows the commands.
Q	:= $(if $(V),,@)
say	= @$(if $(V),:,printf '  %-5s %s\n' $(1) $(2))

.DELETE_ON_ERROR:
.PHONY: all user shipped guest module install-module remove-module deb check bench shell clean help

all: user guest module

user: $(PROGS) $(if $(filter release,$(VARIANT)),$(SHARED))

bench: $(B)/bench

# Of user space what is installed, without tests and benchmarks
shipped: $(B)/dmatrack $(STATIC) $(SHARED)

$(B)/libdmatrack.a: $(OBJS)
$(B)/libdmatrack-copy.a: $(filter-out $(OBJS),$(OBJS-copy))
# Devices that write on order: of the command and of tests, in no library
$(B)/devices.a: $(call objs,$(DEVICES))

$(B)/%.a:
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^

$(B)/libdmatrack.so.$(SOVERSION): $(OBJS)
$(B)/libdmatrack.so.$(SOVERSION): LIBS = $(call libs-of,$(NEEDS))
$(B)/libdmatrack-copy.so.$(SOVERSION): $(OBJS-copy) $(B)/libdmatrack.so.$(SOVERSION)
$(B)/libdmatrack-copy.so.$(SOVERSION): LIBS = $(call libs-of,$(NEEDS-copy))

$(SHARED): $(B)/%.so.$(SOVERSION): lib/%.map
	$(call say,LD,$@)
	$(Q)$(CC) $(ALLLD) -shared -Wl,-soname,$(@F) -Wl,--no-undefined -Wl,-z,nodelete \
		-Wl,--version-script=$< -o $@ $(filter %.o %.so.$(SOVERSION),$^) $(LIBS)
	@ln -sf $(@F) $(B)/$*.so

$(B)/dmatrack: $(call objs,$(CLI)) $(B)/page.o $(LINKED_WITH)
$(B)/dmatrack: LIBS += -ljansson -lm $(shell pkg-config --libs ncursesw)
# of the command, these are tried by themselves
RECORD	:= $(filter-out %/report.c,$(wildcard cli/report/*.c))
RECORDS	:= $(addprefix $(B)/test/,unit/record record/make)
$(RECORDS): $(call objs,$(RECORD)) $(B)/page.o
$(RECORDS): LIBS += -ljansson -lm
# makes each of its allocations fail
$(B)/test/unit/process_copy: LIBS += -Wl,--wrap=calloc,--wrap=realloc
$(B)/conform: $(call objs,$(CONFORM)) $(LINKED_WITH)
$(B)/test/fuzz/calls: $(call objs,$(FUZZ)) $(LINKED_WITH)
$(B)/test/client/failpoints: $(call objs,test/exact/model.c)
$(B)/migrate: $(call objs,$(MIGRATE)) $(LINKED_WITH)
$(B)/bench: $(call objs,$(BENCH) $(addprefix cli/bench/,bench_rows.c measure.c) \
	$(wildcard cli/common/*.c)) $(LINKED_WITH)
$(B)/bench: LIBS += -ljansson
$(patsubst %.c,$(B)/%,$(SINGLE)): $(B)/%: $(B)/obj/%.o $(LINKED_WITH)
$(B)/test/unit/new_file: $(call objs,cli/common/new_file.c)
$(B)/test/unit/heat: $(call objs,$(addprefix cli/watch/,layout.c heat.c hot.c))
$(B)/test/unit/heat: LIBS += -lm
# the command's own parts, but what needs its main()
$(B)/test/unit/replay: $(call objs,$(addprefix cli/,$(addprefix \
	trace/replay_,parse.c read.c trace.c check.c print.c) common/text.c))

# A report's page: one file of HTML, style, script and, of d3, what the script uses; the
# command has it as bytes. In the order of who needs whom.
PAGE	:= $(addprefix cli/report/page/page.,html css js)
D3	:= $(foreach m,array collection color dispatch ease format time timer \
	     selection interpolate time-format axis drag scale transition zoom,\
	     /usr/share/nodejs/d3-$(m)/dist/d3-$(m).min.js)

$(B)/page.o: $(PAGE) $(D3) Makefile
	@mkdir -p $(@D)
	$(call say,PAGE,$@)
	$(Q)cat $(D3) cli/report/page/page.js >$(B)/page.js
	$(Q)sed -e '/@STYLE@/{r cli/report/page/page.css' -e 'd}' \
		-e '/@SCRIPT@/{r $(B)/page.js' -e 'd}' $< >$(B)/page.html
	$(Q)cd $(B) && ld -r -b binary -z noexecstack -o page.o page.html && \
		objcopy --rename-section .data=.rodata,alloc,load,readonly,data,contents page.o

$(PROGS):
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALLLD) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(ALLFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

include packaging/install.mk

# The guest that is migrated: no system under it, 32 bits
GUEST	:= $(O)/guest/guest.elf
GSRC	:= $(wildcard test/qemu/guest/*.[cS])
GFLAGS	:= $(CSTD) -O2 -m32 -march=i686 -mgeneral-regs-only -ffreestanding \
	   -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables \
	   -fcf-protection=none $(WARN) -I.

guest: $(GUEST)

$(GUEST): test/qemu/guest/guest.ld \
		$(patsubst test/qemu/guest/%,$(O)/guest/%.o,$(GSRC))
	$(call say,LD,$@)
	$(Q)ld -m elf_i386 -nostdlib -z noexecstack --no-warn-rwx-segments \
		-T $< -o $@ $(filter %.o,$^)

$(O)/guest/%.o: test/qemu/guest/% Makefile
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(GFLAGS) -MMD -MP -c -o $@ $<

-include $(wildcard $(O)/guest/*.d)

# The kernel's build writes beside its sources: give it a copy. Debian's headers
# come without the vmlinux that type information would be made from. MUTANT names
# patches of test/mutants to that copy: a fault that a test has to find, or a delay
# that helps it.
empty	:=
space	:= $(empty) $(empty)
KMOD	 = $(O)/kmod$(if $(MUTANT),-$(subst $(space),-,$(MUTANT)))/$(KERNEL)

module:
	@mkdir -p $(KMOD)
	@rsync -a --delete --exclude='*.o' --exclude='*.ko' --exclude='*.mod*' \
		--exclude='.*' --exclude=Module.symvers --exclude=modules.order \
		--exclude=/VERSION --exclude=/core --exclude=/testdev \
		--exclude=/uapi module/ $(KMOD)/
	@rsync -a --delete --exclude='*.o' --exclude='*.ko' --exclude='*.mod*' \
		--exclude='.*' VERSION core test/testdev include/uapi $(KMOD)/
	@for mutant in $(MUTANT); do \
		sed 's:^\([-+]* [ab]/\)module/:\1:' test/mutants/$$mutant.patch | \
			patch -s -F0 -p1 -d $(KMOD) || exit 1; \
	done
	+@scripts/kernel $(KERNEL) M=$(abspath $(KMOD)) \
		CONFIG_DEBUG_INFO_BTF_MODULES= KCFLAGS=-Werror modules

# With DESTDIR, its files alone.
install-module:
	@packaging/module $(if $(DESTDIR),files "$(DESTDIR)",install)

remove-module:
	@packaging/module remove

deb:
	@O=$(O) scripts/deb

check:
	@test/run

shell: module
	@test/vm/run --shell

clean:
	rm -rf $(O)/release $(O)/asan $(O)/tsan $(O)/static $(O)/guest \
		$(O)/kmod $(O)/kmod-*

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile
	@echo 'make [VARIANT=asan|tsan|static] user   programs and libraries'
	@echo 'make module [KERNEL=6.1|6.12|7.3]      dmatrack.ko and its test device'
	@echo 'make module KERNEL=6.12-kasan|-kcsan   for a kernel that finds faults'
	@echo 'make module MUTANT=NAME                with a fault of test/mutants in it'
	@echo 'make install [PREFIX= DESTDIR= ...]     command, libraries, manual; see'
	@echo '                                       packaging/install.mk'
	@echo 'make uninstall                         and off again'
	@echo 'make install-module [DESTDIR=]          dmatrack.ko on this machine, by DKMS'
	@echo 'make remove-module                     and off again'
	@echo 'make deb                               Debian packages of all of it'
	@echo 'make check                             all tests'
	@echo 'make shell                             a shell in a VM with the module loaded'

# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# make install, make uninstall: the command, the libraries and their manual, from
# the release build. Directories are those of the running system. DESTDIR is put
# before each of them; no installed file names it.

PREFIX		?= /usr/local
BINDIR		?= $(PREFIX)/bin
LIBDIR		?= $(PREFIX)/lib
INCLUDEDIR	?= $(PREFIX)/include
PKGCONFIGDIR	?= $(LIBDIR)/pkgconfig
DATADIR		?= $(PREFIX)/share
MANDIR		?= $(DATADIR)/man
DOCDIR		?= $(DATADIR)/doc/dmatrack
BASHCOMPDIR	?= $(DATADIR)/bash-completion/completions
ZSHCOMPDIR	?= $(DATADIR)/zsh/site-functions
INSTALL		?= install

R	:= $(O)/release
PC	:= $(LIBRARIES:%=$(R)/%.pc)

# Each entry is MODE:FILE:PLACE
to	= $(foreach f,$(2),$(1):$(f):$(3)/$(notdir $(f)))
INSTALLED = \
	$(call to,755,$(R)/dmatrack,$(BINDIR)) \
	$(call to,644,$(LIBRARIES:%=$(R)/%.a) $(LIBRARIES:%=$(R)/%.so.$(SOVERSION)),$(LIBDIR)) \
	$(call to,644,$(PC),$(PKGCONFIGDIR)) \
	$(call to,644,$(wildcard include/*.h),$(INCLUDEDIR)) \
	644:include/uapi/dmatrack.h:$(INCLUDEDIR)/dmatrack/uapi.h \
	$(foreach n,1 3 5 7 8,$(call to,644,$(wildcard man/*.$(n)),$(MANDIR)/man$(n))) \
	$(patsubst %,644:%:$(BASHCOMPDIR)/dmatrack,$(wildcard completion/dmatrack.bash)) \
	$(call to,644,$(wildcard completion/_dmatrack),$(ZSHCOMPDIR)) \
	$(call to,644,$(wildcard examples/*),$(DOCDIR)/examples)
# Each entry is TARGET:NAME
LINKED	= $(foreach l,$(LIBRARIES),$(l).so.$(SOVERSION):$(LIBDIR)/$(l).so)

.PHONY: install uninstall $(PC)

$(R)/libdmatrack.pc: NEEDED = $(NEEDS)
$(R)/libdmatrack-copy.pc: NEEDED = $(NEEDS-copy)
$(PC): $(R)/%.pc: lib/%.pc.in
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' \
		-e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
		-e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' \
		-e 's|@NEEDS@|$(NEEDED)|' $< >$@

ifneq ($(VARIANT),release)
install:
	@echo 'make install: of the release variant alone' >&2; false
else
install: shipped $(PC)
	@set -e; for f in $(INSTALLED); do \
		mode=$${f%%:*}; f=$${f#*:}; \
		$(INSTALL) -D -m $$mode $${f%%:*} "$(DESTDIR)$${f#*:}"; \
	done
	@set -e; for f in $(LINKED); do \
		ln -sf $${f%%:*} "$(DESTDIR)$${f#*:}"; \
	done
endif

uninstall:
	@for f in $(INSTALLED) $(LINKED); do \
		rm -f "$(DESTDIR)$${f##*:}"; \
	done
	@for d in "$(DESTDIR)$(INCLUDEDIR)/dmatrack" \
			"$(DESTDIR)$(DOCDIR)/examples" "$(DESTDIR)$(DOCDIR)"; do \
		if [ -d "$$d" ]; then \
			rmdir --ignore-fail-on-non-empty "$$d"; \
		fi; \
	done

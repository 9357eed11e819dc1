# install.mk - what a system gets: programs, libraries, manual, completions, units.
#
#   make install                              below /usr/local, as root
#   make install PREFIX=/usr DESTDIR=/tmp/p   for a package: the paths are those below PREFIX
#   make install-chronos                      Chronos alone: shares of GPUs without the orchestrator
#
# Settings go to SYSCONFDIR: /etc for a PREFIX of the system, else PREFIX/etc.  Files that are
# there already stay as they are, also through uninstall, once they were changed.
#
# What only our programs start lies in lib/cumulus, where they look for it.

MAN_FOLDER := $(BUILD)/man
MAN_PAGES  := cumulus.1 cumulus-config.5 cumulusd.8 cumulus-worker.8
COMMANDS   := cumulus cumulusd cumulus-worker
HELPERS    := $(filter-out $(COMMANDS) chronos,$(notdir $(PROGRAMS)))
# Below lib: what is Chronos', and the rest: the harness.
BUILT_LIBRARIES   := $(patsubst $(BUILD)/lib/%,%,$(filter-out %.pc,$(LIBRARIES))) libchronos.a
CHRONOS_LIBRARIES := $(foreach l,$(BUILT_LIBRARIES),$(if $(findstring libchronos,$l),$l))
OTHER_LIBRARIES   := $(filter-out $(CHRONOS_LIBRARIES),$(BUILT_LIBRARIES))
SETTINGS   := cumulusd.yaml cumulus-worker.yaml
UNITS      := cumulusd.service cumulus-worker.service
INSTALL    := install -D
TO         := $(DESTDIR)$(PREFIX)
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),,$(PREFIX))/etc
TO_ETC     := $(DESTDIR)$(SYSCONFDIR)/cumulus

.PHONY: man docs chronos install install-chronos uninstall
man: $(MAN_FOLDER)/.made $(MAN_FOLDER)/chronos.1 ## the manual pages, in build/man
$(MAN_FOLDER)/.made: scripts/manual.py $(addprefix $(BUILD)/bin/,$(COMMANDS))
	@echo "  man     $(MAN_FOLDER)"
	@$(PYTHON3) scripts/manual.py man $(BUILD)/bin $(MAN_FOLDER)
	@touch $@
$(MAN_FOLDER)/chronos.1: scripts/manual.py $(BUILD)/bin/chronos
	@echo "  man     $@"
	@$(PYTHON3) scripts/manual.py chronos $(BUILD)/bin $(MAN_FOLDER)

docs: $(BUILD)/bin/cumulus ## write docs/cli.md again
	@$(PYTHON3) scripts/manual.py reference $(BUILD)/bin > docs/cli.md.new
	@mv docs/cli.md.new docs/cli.md

chronos: $(BUILD)/bin/chronos $(CHRONOS_LIBRARIES:%=$(BUILD)/lib/%) $(MAN_FOLDER)/chronos.1 ## Chronos alone
	@:

# $1 below lib.  Relative links stay links; nothing is stripped that a debugger wants.
install_libraries = umask 022; mkdir -p $(TO)/lib && cd $(BUILD)/lib && \
  cp -P --parents --no-preserve=ownership $1 $(abspath $(TO))/lib/
install_unit = umask 022; mkdir -p $(TO)/lib/systemd/system; for u in $1; do \
  sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|' deploy/systemd/$$u.in \
  > $(TO)/lib/systemd/system/$$u; done

# A loader that knows the place is told what is new in it.
install-chronos: chronos ## its command, libraries, header, manual page, completions and unit (PREFIX, DESTDIR)
	@echo "  install $(TO): chronos"
	@$(INSTALL) -m 755 $(BUILD)/bin/chronos $(TO)/bin/chronos
	@$(call install_libraries,$(CHRONOS_LIBRARIES))
	@$(INSTALL) -m 644 chronos/chronos.h $(TO)/include/chronos.h
	@umask 022; mkdir -p $(TO)/lib/pkgconfig && sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
	  chronos/chronos.pc.in > $(TO)/lib/pkgconfig/chronos.pc
	@$(INSTALL) -m 644 $(MAN_FOLDER)/chronos.1 $(TO)/share/man/man1/chronos.1
	@$(call install_unit,chronos-arbiter.service)
	@$(INSTALL) -m 644 chronos/completion/chronos.bash $(TO)/share/bash-completion/completions/chronos
	@$(INSTALL) -m 644 chronos/completion/_chronos $(TO)/share/zsh/site-functions/_chronos
	@$(INSTALL) -m 644 chronos/completion/chronos.fish $(TO)/share/fish/vendor_completions.d/chronos.fish
	@$(if $(DESTDIR)$(filter-out /usr /usr/local,$(PREFIX)),:,ldconfig)

install: all man install-chronos ## programs, libraries, manual, completions and units (PREFIX, DESTDIR)
	@echo "  install $(TO)"
	@for p in $(COMMANDS); do $(INSTALL) -m 755 $(BUILD)/bin/$$p $(TO)/bin/$$p; done
	@for p in $(HELPERS); do $(INSTALL) -m 755 $(BUILD)/bin/$$p $(TO)/lib/cumulus/$$p; done
	@$(call install_libraries,$(OTHER_LIBRARIES))
	@for p in $(MAN_PAGES); do $(INSTALL) -m 644 $(MAN_FOLDER)/$$p $(TO)/share/man/man$${p##*.}/$$p; done
	@umask 022; mkdir -p $(TO)/share/bash-completion/completions $(TO)/share/zsh/site-functions \
	    $(TO)/share/fish/vendor_completions.d; \
	  $(BUILD)/bin/cumulus completion bash > $(TO)/share/bash-completion/completions/cumulus; \
	  $(BUILD)/bin/cumulus completion zsh > $(TO)/share/zsh/site-functions/_cumulus; \
	  $(BUILD)/bin/cumulus completion fish > $(TO)/share/fish/vendor_completions.d/cumulus.fish
	@$(call install_unit,$(UNITS))
	@for f in $(SETTINGS); do [ -e $(TO_ETC)/$$f ] || $(INSTALL) -m 644 deploy/$$f $(TO_ETC)/$$f; done
	@$(INSTALL) -m 644 deploy/systemd/cumulus.sysusers $(TO)/lib/sysusers.d/cumulus.conf

# Only what install put there; data stays, and settings that were changed.
uninstall: ## take away what install put there
	@echo "  uninstall $(TO)"
	@rm -f $(addprefix $(TO)/bin/,$(COMMANDS) chronos) $(TO)/include/chronos.h \
	  $(addprefix $(TO)/lib/,$(BUILT_LIBRARIES)) $(TO)/lib/pkgconfig/chronos.pc \
	  $(foreach p,$(MAN_PAGES) chronos.1,$(TO)/share/man/man$(subst .,,$(suffix $p))/$p) \
	  $(TO)/share/bash-completion/completions/cumulus $(TO)/share/zsh/site-functions/_cumulus \
	  $(TO)/share/fish/vendor_completions.d/cumulus.fish \
	  $(TO)/share/bash-completion/completions/chronos $(TO)/share/zsh/site-functions/_chronos \
	  $(TO)/share/fish/vendor_completions.d/chronos.fish \
	  $(addprefix $(TO)/lib/systemd/system/,$(UNITS) chronos-arbiter.service) $(TO)/lib/sysusers.d/cumulus.conf
	@for f in $(SETTINGS); do ! cmp -s deploy/$$f $(TO_ETC)/$$f || rm -f $(TO_ETC)/$$f; done
	@rm -rf $(TO)/lib/cumulus

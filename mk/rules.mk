# rules.mk - how a module.mk becomes a library, a program or a test.
#
#   $(eval $(call module,NAME,FOLDER))     uses NAME_SRCS, NAME_USES, NAME_PKGS
#   $(eval $(call program,NAME,FOLDER))    uses NAME_SRCS, NAME_USES, NAME_PKGS, NAME_LIBS
#   $(eval $(call bench_program,NAME,FOLDER))  the same in build/bench/, which only benches need
#   $(eval $(call unit_test,NAME))         tests/unit/NAME.c, uses NAME_USES, NAME_PKGS
#
# NAME_USES lists modules in link order, the dependent first; a module's own NAME_USES is
# followed, so a program names only what it includes itself. NAME_PKGS are pkg-config names.

comma := ,

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
  -Wvla -Wpointer-arith -Wwrite-strings -Wundef -Wformat=2 -Werror
OPTIMISE := $(if $(SAN),-O1 -fno-omit-frame-pointer,-O2)
SANFLAGS := $(if $(filter address,$(SAN)),-fsanitize=address$(comma)undefined \
  -fno-sanitize-recover=all)$(if $(filter thread,$(SAN)),-fsanitize=thread)$(if $(filter fuzz,$(SAN)),\
  -fsanitize=fuzzer-no-link$(comma)address$(comma)undefined -fno-sanitize-recover=all)
CFLAGS   := -std=gnu17 -g $(OPTIMISE) $(WARNINGS) -fstack-protector-strong -fPIC \
  -fvisibility=hidden -D_GNU_SOURCE -D_FORTIFY_SOURCE=$(if $(SAN),0,2) -DCUMULUS_VERSION='"$(VERSION)"'
LDFLAGS  := -Wl,-z,relro,-z,now -Wl,--as-needed

PROGRAMS :=
LIBRARIES :=
UNIT_TESTS :=
TEST_PROGRAMS := # what tests start
C_SOURCES :=
MODULES :=

# pkg-config is asked once for each package, not once for each file.
pkg_cflags = $(foreach p,$1,$(or $($p_CFLAGS_CACHE),$(eval $p_CFLAGS_CACHE := $(or $(shell pkg-config --cflags $p),-DPKG))$($p_CFLAGS_CACHE)))
pkg_libs   = $(foreach p,$1,$(or $($p_LIBS_CACHE),$(eval $p_LIBS_CACHE := $(shell pkg-config --libs $p))$($p_LIBS_CACHE)))

# A module's folder and everything it uses, without repeats, dependents first.
closure = $(call uniq,$(foreach m,$1,$m $(call closure,$($m_USES))))
# Keep the last of each repeated word: a static library must follow all who need it.
uniq = $(if $1,$(call uniq,$(filter-out $(lastword $1),$1)) $(lastword $1))

define common
$1_OBJS := $$($1_SRCS:%.c=$$(BUILD)/obj/$2/%.o)
C_SOURCES += $$($1_SRCS:%=$2/%)
$$($1_OBJS): $$(BUILD)/obj/$2/%.o: $2/%.c $$(firstword $$(MAKEFILE_LIST)) mk/rules.mk \
  $$(if $$(filter proto,$$($1_USES)),| $$(PROTO_HEADERS))
	@mkdir -p $$(@D)
	@echo "  cc      $$<"
	@$$(CC) $$(CFLAGS) $$(SANFLAGS) $$($1_CFLAGS) -MMD -MP -iquote $2 \
	  $$(foreach m,$$($1_USES),-iquote $$($$m_DIR)) $$(call pkg_cflags,$$($1_PKGS)) -c $$< -o $$@
-include $$($1_OBJS:.o=.d)
endef

define module
$1_DIR := $2
MODULES += $1
$1_PKGS ?=
$1_USES ?=
$1_CFLAGS ?=
$(call common,$1,$2)
$$(BUILD)/lib/lib$1.a: $$($1_OBJS)
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^
endef

define link
	@mkdir -p $$(@D)
	@echo "  link    $$@"
	@$$(CC) $$(CFLAGS) $$(SANFLAGS) $$(LDFLAGS) $$($1_LDFLAGS) -o $$@ $$($1_OBJS) \
	  $$(foreach m,$$(call closure,$$($1_USES)),$$(BUILD)/lib/lib$$m.a) \
	  $$(call pkg_libs,$$(call uniq,$$($1_PKGS) $$(foreach m,$$(call closure,$$($1_USES)),$$($$m_PKGS)))) \
	  $$($1_LIBS)
endef

define program
$1_PKGS ?=
$1_USES ?=
$1_LIBS ?=
$1_CFLAGS ?=
$1_LDFLAGS ?=
PROGRAMS += $$(BUILD)/bin/$1
$(call common,$1,$2)
.SECONDEXPANSION:
$$(BUILD)/bin/$1: $$($1_OBJS) $$$$(foreach m,$$$$(call closure,$$$$($1_USES)),$$$$(BUILD)/lib/lib$$$$m.a)
$(call link,$1)
endef

define bench_program
$1_PKGS ?=
$1_LIBS ?=
$1_CFLAGS ?=
$1_LDFLAGS ?=
$(call common,$1,$2)
.SECONDEXPANSION:
$$(BUILD)/bench/$1: $$($1_OBJS) $$$$(foreach m,$$$$(call closure,$$$$($1_USES)),$$$$(BUILD)/lib/lib$$$$m.a)
$(call link,$1)
endef

define unit_test
$1_SRCS  := $1.c
$1_USES  ?=
$1_PKGS  += cmocka
$1_LIBS  ?=
$1_CFLAGS ?=
$1_LDFLAGS ?=
UNIT_TESTS += $$(BUILD)/tests/$1
$(call common,$1,tests/unit)
.SECONDEXPANSION:
$$(BUILD)/tests/$1: $$($1_OBJS) $$$$(foreach m,$$$$(call closure,$$$$($1_USES)),$$$$(BUILD)/lib/lib$$$$m.a)
$(call link,$1)
endef

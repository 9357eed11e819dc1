# Makefile - builds every program of Cumulus; `make help` lists the targets.
#
# Each folder with a module.mk is one module and one static library. Its module.mk
# names its sources and the modules it may include: only their folders are on its
# include path, so a dependency against the arrows of ARCHITECTURE.md does not compile.
#
#   make                 programs into build/bin, libraries into build/lib
#   make SAN=address     the same, with ASan and UBSan, under build/address
#   make SAN=thread      with TSan, under build/thread
#   make CC=clang        with clang (SAN=fuzz: what `make fuzz` builds)

.DEFAULT_GOAL := all
MAKEFLAGS     += --no-builtin-rules
SHELL         := /bin/bash
.SHELLFLAGS   := -e -o pipefail -c

SAN     ?=
BUILD   ?= build$(if $(SAN),/$(SAN))
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := gcc
endif

include mk/rules.mk
include $(wildcard proto/module.mk base/module.mk wire/module.mk runfolder/module.mk \
  chronos/module.mk chronos/cuda/module.mk orchestrator/*/module.mk orchestrator/module.mk worker/module.mk \
  runner/module.mk cli/module.mk tests/*/module.mk bench/*/module.mk)
include mk/proto.mk
include mk/targets.mk
include mk/install.mk

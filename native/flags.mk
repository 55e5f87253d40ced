# How programs of the host are compiled. The Makefiles of `native` and of `native/network` include this file.

PYTHON ?= ../.venv/bin/python
ARCH ?= x86_64
HOST_CC ?= gcc

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Werror
CFLAGS := -std=c11 -D_GNU_SOURCE $(WARNINGS)
HARDEN := -fPIE -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero \
	-static -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
RELEASE := -Os $(HARDEN) -s -fno-sanitize=all -fno-unwind-tables -fno-asynchronous-unwind-tables \
	-ffunction-sections -fdata-sections -ffile-prefix-map=$(CURDIR)=native -Wl,--gc-sections -Wl,--build-id=none

SANITIZE := -Og -g -fsanitize=address,undefined -fno-sanitize-recover=all

"""Kernels: a reference becomes an ELF vmlinux, a disk of modules and an initramfs."""

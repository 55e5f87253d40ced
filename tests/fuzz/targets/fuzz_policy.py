"""Lines of policies, of names and of a resolv.conf to their readers in C: no line opens what is never open."""

from __future__ import annotations

from tests.fuzz.library_in_c import Function

SEEDS = [
    b"base lan\nallow 10.0.0.0/8 80-90\ndeny fd00::/8 *\nallow *.example.com 443",
    b"base host\nallow 127.0.0.1\nallow ::/0\nallow 64:ff9b::/96\nallow 0.0.0.0/0\nallow a.example",
    b"name db 10.213.0.5 fd62:616e:6765::5\nname db.net 10.213.0.5",
    b"nameserver 10.0.0.2\nnameserver fe80::1%eth0\nsearch lan\nnameserver ::1\n",
]
run = Function("feed_policy")

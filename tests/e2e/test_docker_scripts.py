"""Scripts as projects have them, for builds, tests and upkeep: `banger` in place of `docker` runs them unchanged."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import IMAGE, REPOSITORY, Home, open_home

pytestmark = pytest.mark.e2e

# Each begins where the one before ended; `set -e` ends it at the first line that does not succeed.
SCRIPTS = {
    "a service in a build": r"""
docker version --format '{{.Server.Version}}'
docker info > /dev/null
docker image inspect debian:bookworm > /dev/null
docker network create ci-net
docker run -d --name ci-db --network ci-net --network-alias db -e POSTGRES_PASSWORD=secret \
    --health-cmd 'true' --health-interval 1s --tmpfs /var/lib/data:rw,size=64m debian:bookworm \
    sh -c 'echo ready to accept connections; exec sleep 900'
docker ps --filter name=ci-db --format '{{.Names}}'
for i in $(seq 30); do docker logs ci-db 2>&1 | grep -q 'ready to accept' && break; sleep 1; done
docker logs ci-db | grep -q 'ready to accept'
docker run --rm --network ci-net debian:bookworm getent hosts db
docker exec -e PGPASSWORD=secret ci-db sh -c 'test "$PGPASSWORD" = secret'
docker exec -u root -w /tmp -e CI=true ci-db sh -c 'test "$CI:$PWD" = true:/tmp'
echo 'select 1' | docker exec -i ci-db cat | grep -q 'select 1'
test "$(docker inspect -f '{{.State.Running}}' ci-db)" = true
test -n "$(docker ps -q -f name=ci-db)"
docker stop -t 1 ci-db > /dev/null
docker rm -f ci-db
docker network rm ci-net
""",
    "tests that leave a report": r"""
docker create --name unit --workdir /work --label ci=1 debian:bookworm sh -c 'echo "1 passed" | tee report.txt'
docker start unit
docker wait unit
docker logs --tail 1 unit | grep -q '1 passed'
docker inspect --format='{{.State.ExitCode}}' unit | grep -qx 0
docker ps -a --filter label=ci=1 --filter status=exited --format '{{.Names}} {{.Status}}' | grep -q '^unit Exited (0)'
docker rm -v unit
docker run --name keep --ulimit nofile=1024:1024 --read-only --tmpfs /tmp debian:bookworm \
    sh -c 'test $(ulimit -n) = 1024'
docker container inspect keep > /dev/null
docker container rm keep
docker run --rm --init --stop-timeout 3 --pull missing -m 256m --cpus 0.5 debian:bookworm true
docker run --rm --entrypoint sh debian:bookworm -c 'exit 0'
! docker run --rm debian:bookworm sh -c 'exit 7'
cid=$(docker run -d --cidfile "$SCRATCH/cid" debian:bookworm sleep 900)
test "$(cat "$SCRATCH/cid")" = "$cid"
docker kill "$cid"
docker rm "$cid"
""",
    "an image made by hand": r"""
docker run -d --name base -p 0:8080 --restart unless-stopped debian:bookworm sleep 900
docker exec base sh -c 'mkdir -p /app && echo 1.0 > /app/version'
docker port base 8080/tcp
docker rename base builder
docker update --restart no builder
docker commit builder app:1.0 > /dev/null
docker tag app:1.0 app:latest
docker images --format '{{.Repository}}:{{.Tag}}' | grep -qx app:latest
docker history -q app:1.0
docker image inspect app:1.0 > /dev/null
docker cp builder:/app/version "$SCRATCH/version" && grep -qx 1.0 "$SCRATCH/version"
docker export builder | tar -t | grep -q app/version
docker export -o "$SCRATCH/root.tar" builder
docker import "$SCRATCH/root.tar" app:flat
docker run --rm app:latest cat /app/version
docker logs -t --since 1h builder
docker stats --no-stream --format '{{.Name}}: {{.MemUsage}}' builder
docker top builder > /dev/null
docker pause builder
docker unpause builder
docker restart -t 1 builder
docker events --since 10m > /dev/null
docker container ls --filter status=running --no-trunc
""",
    "cleaning up": r"""
docker ps -aq | xargs -r docker rm -f
docker rmi app:flat app:latest app:1.0
docker container prune -f
docker image prune -f
docker network prune -f
docker system df
docker system prune -f
test -z "$(docker ps -aq)"
""",
}


@pytest.fixture
def images_home() -> Iterator[Home]:
    """Scripts that make images, and prune them."""
    with open_home(own_images=True) as home:
        yield home


@pytest.mark.timeout(900)
def test_scripts_of_others_run_unchanged(images_home: Home, tmp_path: Path) -> None:
    assert sum(len(re.findall(r"\bdocker \w", script)) for script in SCRIPTS.values()) >= 60
    images_home.text("tag", IMAGE, "debian:bookworm")
    shim = tmp_path / "banger"
    shim.write_text("#!/bin/sh\nexec " + " ".join(images_home.argv()) + ' "$@"\n')
    shim.chmod(0o755)
    env = {
        **images_home.env,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY / "src"),
        "SCRATCH": str(tmp_path),
    }
    for name, script in SCRIPTS.items():
        lines = re.sub(r"\bdocker (?=\w)", "banger ", script)
        done = subprocess.run(
            ["bash", "-euxc", lines], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=240
        )
        said = done.stderr.decode(errors="replace")
        assert done.returncode == 0, f"{name}: {done.returncode}\n{said[-3000:]}"
        assert "means nothing here" not in said, name

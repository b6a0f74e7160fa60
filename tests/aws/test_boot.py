"""The scripts of aws/, run for real: shells, git, tar, awk, openssl and ext4; AWS, dnf, pip and systemd are stubs.

Each runs as root of a mount namespace of its own, in which the folders that it writes to are empty and in memory.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.aws.stacks import deploy, script_in

SCRIPTS = sorted((ROOT / "aws").glob("*.sh"))
VOLUME = "vol-0123456789abcdef0"
_UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def _why_not() -> str:
    tools = ("unshare", "git", "openssl", "mkfs.ext4", "blkid", "cmp", "awk")
    if not Path("/etc/ssl/openssl.cnf").is_file():
        return "openssl has no configuration"
    lacking = [name for name in tools if shutil.which(name, path=_PATH) is None]
    if lacking:
        return f"{lacking[0]} is missing"
    tried = subprocess.run(
        [*_UNSHARE, "mount", "-t", "tmpfs", "none", "/opt"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "no mount namespace may be made here"


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
needs_namespace = pytest.mark.skipif(bool(_why_not()), reason=_why_not())

# What is not this machine's to have. Each notes how it was called.
STUBS = {
    "dnf": "",
    "systemctl": "",
    "hostname": "echo '10.0.0.5 fd00::5'",
    "resize2fs": "",
    "chown": "",  # there is no ec2-user here
    "mountpoint": '[ -e "$PRETEND/mounted" ]',
    "mount": 'touch "$PRETEND/mounted"',
    "sleep": "",
    "python3.11": 'mkdir -p "$3/bin"; printf "#!/bin/sh\\necho pip \\"\\$@\\" >>$PRETEND/calls\\n" >"$3/bin/python"; '
    'chmod +x "$3/bin/python"',
    "aws": """
case "$1 $2" in
  's3 cp') cat "$PRETEND/code.tar.gz" ;;
  'ssm get-parameter')
    [ -e "$PRETEND/parameter" ] || { echo 'An error occurred (ParameterNotFound)' >&2; exit 254; }
    cat "$PRETEND/parameter" ;;
  'ssm put-parameter')
    for word; do case $word in file://*) cp "${word#file://}" "$PRETEND/parameter" ;; esac; done ;;
esac""",
}


class Machine:
    """A machine that does not exist: folders that outlive a start, and commands that are stubs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls_file = folder / "calls"
        self.disk = folder / "disk"
        for name in ("bin", "opt", "srv", "run", "etc", "by-id"):
            (folder / name).mkdir()
        (folder / "etc" / "fstab").write_text("")
        (folder / "etc" / "profile.d").mkdir()
        (folder / "etc" / "ssl").mkdir()
        shutil.copy("/etc/ssl/openssl.cnf", folder / "etc" / "ssl")
        if Path("/etc/alternatives").is_dir():  # Debian's way to awk
            shutil.copytree("/etc/alternatives", folder / "etc" / "alternatives", symlinks=True)
        (folder / "etc" / "systemd" / "system").mkdir(parents=True)
        for name, body in STUBS.items():
            stub = folder / "bin" / name
            stub.write_text(f'#!/bin/bash\necho "{name} $*" >>"$PRETEND/calls"\n{body}\n')
            stub.chmod(0o755)
        with self.disk.open("wb") as file:
            file.truncate(32 << 20)
        (folder / "by-id" / "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0").symlink_to(self.disk)

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script as at a start of this machine."""
        (self.folder / "script").write_text(script)
        binds = "".join(
            f"mount --bind {self.folder}/{name} /{name} && " for name in ("opt", "srv", "run", "etc")
        )
        disks = "mount -t tmpfs none /dev/disk 2>/dev/null || mkdir -p /dev/disk; mkdir -p /dev/disk/by-id; "
        disks += f"mount --bind {self.folder}/by-id /dev/disk/by-id && "
        inside = f'{disks}{binds}PATH={self.folder}/bin:$PATH exec bash {self.folder}/script "$@"'
        return subprocess.run(
            [*_UNSHARE, "bash", "-c", inside, "sh", *arguments],
            env={"PATH": _PATH, "PRETEND": str(self.folder), "HOME": str(self.folder), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self, name: str) -> list[str]:
        """Return how a stub was called, by its arguments."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [line.split(" ", 1)[1] for line in lines if line.startswith(f"{name} ")]

    def current(self) -> str:
        """Return the folder of the code that runs."""
        return str((self.folder / "opt" / "cdn2s3" / "current").readlink())

    def text(self, path: str) -> str:
        return (self.folder / path).read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with what the scripts need of this one."""
    folder = tmp_path / "repository"
    folder.mkdir()
    shutil.copytree(ROOT / "aws", folder / "aws")
    for name in ("requirements.txt", "constraints.txt", "migration.env", "collection.env"):
        shutil.copy(ROOT / name, folder)
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    """Commit all that is in a folder; return the hash."""
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    return subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def user_data(name: str, resource: str, repository: Path, **parameters: str) -> str:
    """Return the script that a stack of a template runs on a machine, with the repository in this folder."""
    script = script_in(deploy(name, ExistingVolume=VOLUME, **parameters).user_data(resource))
    return script.replace("https://git.example.com/cdn2s3.git", f"file://{repository}")


def test_scripts_are_found() -> None:
    assert [path.name for path in SCRIPTS] == ["boot.sh", "dask_tls.sh"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_reads_the_script(script: Path) -> None:
    read = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


def _shellcheck() -> str | None:
    return shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{_PATH}")


@pytest.mark.slow
@pytest.mark.skipif(_shellcheck() is None, reason="there is no shellcheck")
def test_shellcheck_finds_nothing(tmp_path: Path, account: None) -> None:
    (tmp_path / "user_data.sh").write_text(script_in(deploy("cluster").user_data("Coordinator")))
    files = [*SCRIPTS, tmp_path / "user_data.sh"]
    checked = subprocess.run(
        [str(_shellcheck()), "--severity=warning", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, "")


@needs_namespace
def test_first_start_brings_code_volume_settings_and_unit(
    machine: Machine, repository: Path, account: None
) -> None:
    head = commit(repository)
    ran = machine.run(user_data("one-instance", "Instance", repository, Commit=head))
    assert ran.returncode == 0, ran.stderr
    current = machine.current()
    here = Path(current.replace("/opt", f"{machine.folder}/opt", 1))
    assert (here / "aws" / "boot.sh").is_file() and (here / ".venv" / "whole").is_file()
    (installed,) = machine.calls("pip")
    assert f"-r {current}/requirements.txt -c {current}/constraints.txt" in installed
    assert "requirements-dask" not in installed
    (line,) = machine.text("etc/fstab").splitlines()
    kind = subprocess.run(
        ["blkid", "-p", "-s", "UUID", "-o", "value", str(machine.disk)], capture_output=True, text=True
    )
    assert line == f"UUID={kind.stdout.strip()} /srv/migration ext4 defaults,nofail 0 2"
    settings = machine.text("srv/migration/migration.env").splitlines()
    assert {
        "DESTINATION_BUCKET=my-auction-images",
        "DESTINATION_PREFIX=images/",
        "AWS_REGION=us-west-2",
    } <= set(settings)
    assert str((machine.folder / "srv/migration/migrate.py").readlink()) == "/opt/cdn2s3/current/migrate.py"
    assert (
        machine.text("etc/systemd/system/cdn2s3-migrate.service")
        == (ROOT / "aws" / "cdn2s3-migrate.service").read_text()
    )
    assert not [call for call in machine.calls("systemctl") if call.startswith(("start", "enable"))]


@pytest.mark.slow
@needs_namespace
def test_next_start_changes_nothing_and_another_commit_only_the_code(
    machine: Machine, repository: Path, account: None
) -> None:
    head = commit(repository)
    first = user_data("one-instance", "Instance", repository, Commit=head)
    assert machine.run(first).returncode == 0
    disk, before = machine.disk.read_bytes(), machine.current()
    (machine.folder / "srv" / "migration" / "migration.env").write_text("mine=1\n")
    (machine.folder / "mounted").unlink()  # the machine was off
    machine.calls_file.unlink()
    assert machine.run(first).returncode == 0
    assert machine.disk.read_bytes() == disk and machine.text("etc/fstab").count("\n") == 1
    assert machine.calls("pip") == [] and "try-restart cdn2s3-migrate" not in machine.calls("systemctl")
    (repository / "new").write_text("x")
    second = first.replace(head, commit(repository))
    assert machine.run(second).returncode == 0
    assert machine.current() != before
    assert len(machine.calls("pip")) == 1 and "try-restart cdn2s3-migrate" in machine.calls("systemctl")
    assert machine.text("srv/migration/migration.env") == "mine=1\n"
    assert machine.disk.read_bytes() == disk


@needs_namespace
@pytest.mark.parametrize("at", [0, 700_000])
def test_volume_with_anything_on_it_is_never_formatted(machine: Machine, at: int) -> None:
    with machine.disk.open("r+b") as file:
        file.seek(at)
        file.write(b"somebody's bytes")
    before = machine.disk.read_bytes()
    (machine.folder / "opt" / "code" / "aws").mkdir(parents=True)
    for name in ("aws/boot.sh", "requirements.txt", "constraints.txt"):
        shutil.copy(ROOT / name, machine.folder / "opt" / "code" / name)
    ran = machine.run("bash /opt/code/aws/boot.sh instance", VOLUME=VOLUME)
    assert ran.returncode != 0
    assert "it stays as it is" in ran.stderr
    assert machine.disk.read_bytes() == before
    assert machine.calls("mount") == []


@pytest.mark.slow
@needs_namespace
def test_commit_that_is_not_there_fails_and_says_so_to_cloudformation(
    machine: Machine, repository: Path, account: None
) -> None:
    signal = machine.folder / "opt" / "aws" / "bin" / "cfn-signal"
    signal.parent.mkdir(parents=True)
    signal.write_text('#!/bin/sh\necho "signal $*" >>"$PRETEND/calls"\n')
    signal.chmod(0o755)
    ran = machine.run(user_data("one-instance", "Instance", repository, Commit="0" * 40))
    assert ran.returncode == 1
    assert "the code cannot be fetched" in ran.stderr
    (told,) = machine.calls("signal")
    assert told.startswith("--exit-code 1 ") and told.endswith("--stack migration --resource Instance")


@needs_namespace
def test_code_of_an_object_is_brought_too(machine: Machine, repository: Path, account: None) -> None:
    subprocess.run(
        ["git", "archive", "--format=tar.gz", "-o", machine.folder / "code.tar.gz", "HEAD"],
        cwd=repository,
        check=True,
    )
    script = user_data(
        "one-instance", "Instance", repository, Repository="", Commit="", CodeObject="our-code/1.tar.gz"
    )
    ran = machine.run(script)
    assert ran.returncode == 0, ran.stderr
    assert "s3 cp --quiet s3://our-code/1.tar.gz -" in machine.calls("aws")
    assert (machine.folder / "srv" / "migration" / "migration.env").is_file()


@needs_namespace
def test_coordinator_makes_certificates_once_and_a_worker_takes_them(
    machine: Machine, repository: Path, account: None
) -> None:
    (repository / "requirements-dask.txt").touch()
    stack = deploy("cluster", ExistingVolume=VOLUME, Commit=commit(repository))
    script = script_in(stack.user_data("Coordinator"))
    script = script.replace("https://git.example.com/cdn2s3.git", f"file://{repository}")
    ran = machine.run(script)
    assert ran.returncode == 0, ran.stderr
    parameter = machine.text("parameter")
    assert parameter.count("BEGIN CERTIFICATE") == 2 and parameter.count("BEGIN PRIVATE KEY") == 1
    assert len(parameter.encode()) < 4096, "a standard parameter has at most 4 KB"
    assert "PRIVATE KEY" not in machine.calls_file.read_text() + ran.stdout + ran.stderr
    assert "restart cdn2s3-dask-scheduler" in machine.calls("systemctl")
    assert "requirements-dask.txt" in machine.calls("pip")[0]
    assert "DASK_SCHEDULER=tls://10.0.0.5:8786" in machine.text("srv/migration/migration.env").splitlines()
    assert "require-encryption: true" in machine.text("etc/dask/cdn2s3.yaml")
    assert sorted(path.name for path in (machine.folder / "run" / "cdn2s3").iterdir()) == [
        "ca.pem",
        "dask.key",
        "dask.pem",
    ]
    assert {path.stat().st_mode & 0o777 for path in (machine.folder / "run" / "cdn2s3").iterdir()} == {0o400}
    shutil.rmtree(machine.folder / "run" / "cdn2s3")  # it was in memory
    assert machine.run(script).returncode == 0
    assert machine.text("parameter") == parameter
    assert len([call for call in machine.calls("aws") if call.startswith("ssm put-parameter")]) == 1
    _shake_hands(machine.folder / "run" / "cdn2s3")
    shutil.rmtree(machine.folder / "run" / "cdn2s3")
    code = machine.current()
    ran = machine.run(f"bash {code}/aws/boot.sh worker", SCHEDULER="tls://10.0.0.5:8786", TLS_PARAMETER="/x")
    assert ran.returncode == 0, ran.stderr
    assert machine.text("etc/cdn2s3.env") == "SCHEDULER=tls://10.0.0.5:8786\n"
    assert "restart cdn2s3-dask-worker" in machine.calls("systemctl")
    _shake_hands(machine.folder / "run" / "cdn2s3")


@needs_namespace
def test_coordinator_that_may_not_read_the_parameter_makes_no_second_one(machine: Machine) -> None:
    (machine.folder / "bin" / "aws").write_text(
        '#!/bin/bash\necho "aws $*" >>"$PRETEND/calls"\necho "(AccessDeniedException)" >&2\nexit 254\n'
    )
    script = (ROOT / "aws" / "dask_tls.sh").read_text()
    ran = machine.run(script, "make", "/run/cdn2s3", "ec2-user", TLS_PARAMETER="/x", TLS_KEY="k")
    assert ran.returncode == 1
    assert "AccessDeniedException" in ran.stderr
    assert not [call for call in machine.calls("aws") if "put-parameter" in call]


def _context(folder: Path, side: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(side, cafile=str(folder / "ca.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.check_hostname = False  # as Dask does
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "dask.pem", folder / "dask.key")
    return context


def _shake_hands(folder: Path) -> None:
    """Let both sides know each other by the certificates in folder, as strictly as Python 3.13 does."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = _context(folder, ssl.Purpose.SERVER_AUTH).wrap_bio(down, up)
    server = _context(folder, ssl.Purpose.CLIENT_AUTH).wrap_bio(up, down, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.getpeercert() and server.getpeercert()

"""The VOMS clients of the operating system, run as commands: voms-proxy-init and arcproxy, whichever is there.

Every run has a total deadline, an environment of its own and a private directory, which is removed with all keys in it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from act.errors import CredentialError

PATH = "/usr/local/bin:/usr/bin:/bin"
_PREFIX = "making-proxy-"
_TOLD = 1000  # characters of a command's words that go into an error
# What key generation prints, and OpenSSL about files that nobody needs.
_NOISE = re.compile(r"[.+*]{4,}|^.*(\.rnd|randfile\.c).*$|^Function: *$", re.MULTILINE)


@dataclass(frozen=True)
class VomsClient:
    """How proxies with attributes are made on this host.

    ca_dir, vomses: as VOMS clients know them. work_dir: for files that live for one call; deadline_s: of a whole call.
    path: where the commands are looked for. The signature of attributes is not verified here: they come over TLS from
    the server that vomses names, and CEs verify it.
    """

    ca_dir: Path
    vomses: Path
    work_dir: Path
    deadline_s: float
    path: str = PATH

    def make(self, cert: Path, key: Path, voms: str, fqan: str, lifetime_s: float) -> bytes:
        """A new proxy in PEM with attributes of a VO. The VOMS server may grant a shorter life than is asked for.

        Raises CredentialError with the words of the commands that were tried.
        """
        self._sweep()
        self.work_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        told = []
        end = time.monotonic() + self.deadline_s
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=self.work_dir) as name:
            out = Path(name) / "proxy.pem"
            for command in self._commands(cert, key, f"{voms}:{fqan}" if fqan else voms, lifetime_s, out):
                left_s = end - time.monotonic()
                if left_s <= 0:
                    break
                code, said = self._run(command, Path(name), left_s)
                if code == 0 and out.is_file():
                    return out.read_bytes()
                told.append(f"{command[0]}: {said}")
        raise CredentialError(f"no proxy with attributes of {voms}: {'; '.join(told)}")

    def _commands(self, cert: Path, key: Path, voms: str, lifetime_s: float, out: Path) -> list[list[str]]:
        """What to try, in this order: voms-proxy-init 2.1 writes nothing if the source is a proxy (seen), arcproxy
        does; old VOMS servers do not speak arcproxy's usual protocol, hence -B."""
        minutes, wait_s = max(1, int(lifetime_s / 60)), max(1, int(self.deadline_s / 3))
        common = ["-timeout", str(wait_s), "-vomses", str(self.vomses), "-certdir", str(self.ca_dir)]
        init = [
            "voms-proxy-init", "-rfc", "-bits", "2048", "-dont-verify-ac", "-voms", voms, *common, "-cert", str(cert),
            "-key", str(key), "-out", str(out), "-valid", f"{minutes // 60}:{minutes % 60:02}",
        ]  # fmt: skip
        life = [f"--constraint={what}={minutes * 60}" for what in ("validityPeriod", "vomsACvalidityPeriod")]
        other = [
            "arcproxy", "-t", str(wait_s), "-V", str(self.vomses), "-T", str(self.ca_dir), "-S", voms, "-C", str(cert),
            "-K", str(key), "-P", str(out), *life,
        ]  # fmt: skip
        found = [c for c in (init, other, [*other, "-B"]) if shutil.which(c[0], path=self.path)]
        if not found:
            raise CredentialError(
                "neither voms-proxy-init nor arcproxy is on this host: install voms-clients, or let something else "
                "make the proxies and give their directory"
            )
        return found

    def _run(self, command: Sequence[str], home: Path, left_s: float) -> tuple[int, str]:
        """The exit code, and what the command said, without noise."""
        environment = {
            "PATH": self.path, "LC_ALL": "C", "HOME": str(home), "TMPDIR": str(home), "X509_CERT_DIR": str(self.ca_dir),
        }  # fmt: skip
        log = home / "said"
        with log.open("wb") as said:
            try:
                code = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=home, env=environment,
                    timeout=left_s, check=False,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                return -1, f"no end within {self.deadline_s:.0f} s"
            except OSError as error:
                return -1, f"cannot be run: {error.strerror}"
        return code, " ".join(_NOISE.sub("", log.read_text(errors="replace")).split())[-_TOLD:]

    def _sweep(self) -> None:
        """Remove what a crash has left, keys above all; younger directories are in use."""
        for left in self.work_dir.glob(f"{_PREFIX}*"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > self.deadline_s + 60:
                    shutil.rmtree(left, ignore_errors=True)

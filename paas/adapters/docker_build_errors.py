"""From what a builder says when it fails to a sentence that tells its user what to change."""

from __future__ import annotations

import re
from dataclasses import dataclass

from paas.adapters.docker_client import sentence
from paas.errors import BuildFailed

TAIL_LINES = 10
WRAPPING = re.compile(r"^(?:failed to solve(?: with frontend [\w.]+)?: |failed to create LLB definition: "
                      r"|failed to (?:compute|load) cache key: |rpc error: code = \w+ desc = )+")
REFERENCE = r"(?:docker-image://)?([\w./:@-]+)"
FRONTEND = re.compile(r"resolve image config for " + REFERENCE)
METADATA = re.compile(r"load metadata for " + REFERENCE)
FROM_STEP = re.compile(r"^(?:\[[^\]]*\] |\d+/\d+ : )?FROM (?:--\S+ )*" + REFERENCE, re.IGNORECASE)
MANIFEST = re.compile(r'https?://([^/"]+)/v2/(.+?)/(?:manifests|blobs)/([^"?]+)')
UNFETCHED = (
    (r"no such host|server misbehaving|Temporary failure in name resolution", "its registry's name cannot be resolved"),
    (r"connection refused", "its registry refuses connections"),
    (r"i/o timeout|TLS handshake timeout|deadline exceeded|Client\.Timeout", "its registry does not answer"),
    (r"network is unreachable|no route to host", "its registry cannot be reached"),
    (r"toomanyrequests|429", "its registry allows no more downloads for now"),
    (r"x509|certificate", "its registry's certificate is not trusted"),
    (r"pull access denied|insufficient_scope|unauthorized|401|denied|authorization failed|failed to authorize"
     r"|repository does not exist", "there is no such image, or it needs a login"),
    (r"manifest unknown|manifest for .* not found|404|not found", "its registry has no such tag"),
    (r"no match for platform|no matching manifest", "it does not exist for this server's processor"),
    (r"failed to do request|failed to resolve|unexpected status", "its registry did not give it"),
)


@dataclass(frozen=True)
class Failure:
    """What is known of a failed build."""

    said: str                            # the builder's own message
    step: str = ""                       # name of the step that failed
    tail: str = ""                       # the last output of that step
    shown: bool = False                  # the step is one that people know


def explain(failure: Failure) -> BuildFailed:
    """The first explanation that fits; else the builder's own words."""
    for attempt in (_disk, _frontend, _secret, _dockerfile, _base_image, _exit_code, _missing_source):
        found = attempt(failure)
        if found:
            return found
    said = _plain(failure)
    what = f"the build failed in step {_step(failure)}: {said}" if failure.shown else f"the build failed: {said}"
    return BuildFailed(what, _hint("Correct that, then push again.", failure))


def _plain(failure: Failure) -> str:
    return sentence(WRAPPING.sub("", failure.said))


def _step(failure: Failure) -> str:
    return sentence(failure.step, 200)


def _hint(text: str, failure: Failure) -> str:
    lines = failure.tail.strip("\r\n").splitlines()[-TAIL_LINES:]
    return "\n".join([f"{text} The last lines of that step:", *lines]) if lines else text


def _disk(failure: Failure) -> BuildFailed | None:
    if "no space left on device" not in failure.said + failure.tail:
        return None
    return BuildFailed("the build failed because the disk is full",
                       "Free some space on the server (docker system df shows what is used), then push again.")


def _frontend(failure: Failure) -> BuildFailed | None:
    """``# syntax=`` names an image that reads the Dockerfile; without a registry it cannot be had."""
    named = FRONTEND.search(failure.step)
    if not named and "frontend gateway.v0" not in failure.said:
        return None
    image = named[1] if named else _requested(failure.said)
    why = _why_unfetched(failure.said)
    if not why:
        return None
    return BuildFailed(
        f"the Dockerfile's `# syntax=` line asks for a frontend image ({_short(image)}) that cannot be fetched: {why}",
        "Remove that line: the engine's built-in frontend supports cache mounts and secrets, too.")


def _secret(failure: Failure) -> BuildFailed | None:
    wanted = re.search(r"secret (\S+?):? not found|not found: secret (\S+)", failure.said)
    if not wanted:
        return None
    return BuildFailed(f"step {_step(failure)} needs the build secret {wanted[1] or wanted[2]}, which is not given",
                       "Give the build that secret, or remove required=true from the mount.")


def _dockerfile(failure: Failure) -> BuildFailed | None:
    error = re.search(r"(?i)dockerfile parse error (?:on )?line (\d+): (.*)", failure.said, re.DOTALL)
    if error:
        return BuildFailed(f"the Dockerfile has an error in line {error[1]}: {sentence(error[2])}",
                           "Correct that line, then push again. (Heredocs, RUN <<EOF, need Docker 23 or newer.)")
    if re.search(r"failed to read dockerfile|Cannot locate specified Dockerfile|forbidden path", failure.said):
        return BuildFailed("the source has no Dockerfile at the given path",
                           "Add it, or name the right path, then push again.")
    if re.search(r"Dockerfile.* cannot be empty|no build stage in current context|file with no instructions",
                 failure.said):
        return BuildFailed(f"the Dockerfile is not complete: {_plain(failure)}",
                           "It must begin with a FROM instruction.")
    return None


def _base_image(failure: Failure) -> BuildFailed | None:
    named = METADATA.search(failure.step) or FROM_STEP.search(failure.step)
    if not named and not re.search(r"/v2/.+/manifests/|pull access denied|manifest for", failure.said):
        return None
    why = _why_unfetched(failure.said)
    if not why:
        return None
    image = _short(named[1] if named else _requested(failure.said))
    return BuildFailed(f"the base image {image} could not be fetched: {why}",
                       "Check its name and the server's network, or load it on the server: docker load.")


def _why_unfetched(said: str) -> str:
    return next((why for pattern, why in UNFETCHED if re.search(pattern, said)), "")


def _requested(said: str) -> str:
    """The image that a message names by the URL asked for, or by "for NAME"."""
    url = MANIFEST.search(said)
    if url:
        host = "" if url[1].endswith("docker.io") else f"{url[1]}/"
        mark = "@" if url[3].startswith("sha256:") else ":"
        return f"{host}{url[2]}{mark}{url[3]}"
    named = re.search(r"(?:access denied for|manifest for|metadata for|image) ([\w./:@-]+)", said)
    return named[1].rstrip(":,.") if named else "that it names"


def _short(image: str) -> str:
    return image.removeprefix("docker.io/").removeprefix("library/").rstrip(":")


def _exit_code(failure: Failure) -> BuildFailed | None:
    code = re.search(r"exit code: (\d+)|non-zero code: (\d+)", failure.said)
    if not code:
        return None
    number = code[1] or code[2]
    why = " (killed, often for lack of memory)" if number == "137" else ""
    return BuildFailed(f"step {_step(failure)} ended with exit code {number}{why}",
                       _hint("Correct the Dockerfile or what it runs, then push again.", failure))


def _missing_source(failure: Failure) -> BuildFailed | None:
    missing = re.search(r'"([^"]+)"(?: not found|: not found)', failure.said) \
        or re.search(r"file not found in build context.*?stat ([^:]+):", failure.said)
    if not missing or not re.search(r"\b(COPY|ADD)\b", failure.step):
        return None
    return BuildFailed(f"step {_step(failure)}: {sentence(missing[1])} is not in the source",
                       "Commit that file, or correct the path; a .dockerignore may leave it out, too.")

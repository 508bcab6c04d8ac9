"""One instance: its row and address, its container, and the proof that it is ready. Stage 4 is made of these."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from paas.deploy.oneoff import give_empty_mounts, hosts, mounts, network_name, platform_environment
from paas.deploy.readiness import Readiness
from paas.deploy.work import Work
from paas.errors import CheckFailed, EngineError
from paas.failpoints import step
from paas.model.release import Instance, Process, Release
from paas.ops import drains
from paas.ports import ContainerSpec
from paas.secret import Secret

DEFAULT_PORT = 5000                      # $PORT where nothing says otherwise, as in Dokku


def start(work: Work, release: Release, process: Process, ordinal: int) -> Instance:
    work.stop_if_cancelled()
    row = work.rt.store.reserve_instance(work.app.id, release.id, process.type, ordinal)
    work.out.detail(f"Starting {row.name}")
    with step("C1"):
        container = work.rt.containers.create(container_spec(work, release, process, row))
        row = work.rt.store.update_instance(row.id, container_id=container)
    give_empty_mounts(work, container)
    try:
        with step("C2"):
            work.rt.containers.start(container)
    except EngineError as error:
        raise CheckFailed(f"{row.name} did not start: {error.what}", error.hint) from None
    return row


def container_spec(work: Work, release: Release, process: Process, row: Instance) -> ContainerSpec:
    return ContainerSpec(
        name=f"{work.rt.settings.prefix}-instance-{row.id}",
        image=release.image,
        labels=work.labels("instance", release=release.version, process=process.type, instance=row.id,
                           **logged(work, row)),
        environment=environment(work, release, process, row.ordinal),
        command=process.command,
        network=network_name(work),
        address=row.address,
        mounts=mounts(work), hosts=hosts(work),
        memory=process.memory, reserve=process.reserve, cpus=process.cpus, pids=process.pids,
        stop_timeout=process.stop_timeout, restart=process.restart,
    )


def logged(work: Work, row: Instance) -> dict[str, str]:
    """The label by which the adapter has the engine send the container's lines to CloudWatch."""
    found = drains.cloudwatch(work.rt, work.app.id)
    return {"cloudwatch": f"{found} {work.app.name}/{row.name}/{row.id}"} if found else {}


def environment(work: Work, release: Release, process: Process, ordinal: int) -> dict[str, Secret]:
    """Config vars, and what the platform says of itself. A config var PORT wins over the platform's."""
    port = {"PORT": Secret(str(expected_port(work, release)))} if process.type == "web" else {}
    return {**platform_environment(work, release, f"{process.type}.{ordinal}"), **port, **release.config}


def expected_port(work: Work, release: Release) -> int:
    """`ports:set`, the config var PORT, the lowest EXPOSEd port, 5000: the first that is there."""
    fixed = work.setting("proxy.port")
    configured = release.config.get("PORT")
    if fixed:
        return int(fixed)
    if configured and configured.reveal().isdigit():
        return int(configured.reveal())
    return release.exposed[0] if release.exposed else DEFAULT_PORT


@step("C3")
def prove(work: Work, release: Release, started: list[Instance]) -> list[Instance]:
    """Check all at once; the first failure stops the others' waiting."""
    if not started:
        return []
    readiness = [Readiness(work, release, release.process(row.process_type), row, expected_port(work, release))
                 for row in started]
    with ThreadPoolExecutor(len(readiness), thread_name_prefix="check") as pool:
        futures = [pool.submit(one.wait) for one in readiness]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            for one in readiness:
                one.give_up()
    return [settle(work, row, future) for row, future in failures_first(started, futures)]


def failures_first(started: list[Instance], futures: list[Future]) -> list[tuple[Instance, Future]]:
    """The real failure before those that only gave up because of it; else in order."""
    pairs = list(zip(started, futures, strict=True))
    failed = [pair for pair in pairs if pair[1].exception() and not getattr(pair[1].exception(), "gave_up", False)]
    return failed or pairs


def settle(work: Work, row: Instance, future: Future) -> Instance:
    port = future.result()
    if port:
        work.rt.store.update_instance(row.id, port=port)
    return replace(row, port=port)

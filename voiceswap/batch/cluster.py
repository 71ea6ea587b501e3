"""Work spread over processes and machines by Dask, which gives the rows of a worker that died to another."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from voiceswap.batch.ledger import Outcome
from voiceswap.errors import MissingExtraError, OptionError, VoiceswapError

if TYPE_CHECKING:
    from voiceswap.batch.work import Place, Task

DEATHS = 3
"""Workers that one row may cost before it is given up: text that runs a machine out of memory, say."""

_PATIENCE = 30.0  # seconds for a scheduler to answer, and for a first worker to be there


def require() -> None:
    """Raises MissingExtraError where Dask is not installed."""
    if find_spec("distributed") is None:
        raise MissingExtraError(
            "the package 'distributed' is not installed",
            "several processes are led by Dask",
            "Run: pip install 'voiceswap[cluster]'",
        )


@contextmanager
def client(jobs: int, scheduler: str | None) -> Iterator[Any]:
    """A client of the cluster at `scheduler`, or of one of `jobs` processes of this machine.

    Raises OptionError for a scheduler that does not answer, or has no workers.
    """
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if scheduler is None:
            # A death more than allowed is the last one; its log lines would tear the progress bar.
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": DEATHS - 1}))
            scheduler = stack.enter_context(
                LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    memory_limit=None,  # rows are made in bounded memory
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            found = stack.enter_context(Client(scheduler, timeout=_PATIENCE, set_as_default=False))
            found.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            raise OptionError(
                f"scheduler={scheduler!r}",
                f"it does not answer, or has no workers ({error})",
                "Start `dask scheduler` and `dask worker --nthreads 1`, and give an address like tcp://host:8786",
            ) from error
        yield found


@contextmanager
def _there() -> Iterator[None]:
    """OptionError for a cluster that goes away meanwhile."""
    try:
        yield
    except VoiceswapError:
        raise
    except (CancelledError, OSError) as error:
        raise OptionError(
            "the cluster went away", f"its scheduler has to stay ({error})", "The same command goes on"
        ) from error


def in_order(
    function: Callable[[Any], Any], tasks: Iterable[Any], client: Any, *, given_up: Callable[[Any], Any]
) -> Iterator[Any]:
    """`function` of every task, in their order; of one that `DEATHS` workers died of, `given_up`.

    As in `spread` there are no more under way than workers, and a few results wait for one that takes longer.
    OptionError for a cluster that goes away.
    """
    from distributed import KilledWorker

    waiting: deque[tuple[Any, Any]] = deque()

    def first() -> Any:
        task, future = waiting.popleft()
        try:
            return future.result()
        except KilledWorker:
            return given_up(task)

    with _there():
        for task in tasks:
            workers = max(1, sum(client.nthreads().values()))
            while len(waiting) > 4 * workers or sum(not made.done() for _, made in waiting) >= workers:
                yield first()
            waiting.append((task, client.submit(function, task, pure=False)))
        while waiting:
            yield first()


def spread(tasks: Iterable[Task], place: Place, client: Any) -> Generator[Outcome, None, None]:
    """Outcomes of `make_one`, as they come.

    No more rows are given out than there are workers to make them: one that brings its worker down takes no
    others with it, and little is under way when all is interrupted. Errors are those of `Place.prepare` and
    `make_one`, and OptionError for a cluster that goes away.
    """
    from distributed import KilledWorker, as_completed

    from voiceswap.batch.work import make_one

    with _there():
        hosts = {urlsplit(address).hostname: address for address in client.nthreads()}
        client.run(place.prepare, workers=list(hosts.values()))  # one on each machine makes its key
        waiting, done = iter(tasks), as_completed(loop=client.loop)
        running: dict[str, Task] = {}

        def give_out() -> None:
            while len(running) < max(1, sum(client.nthreads().values())):
                task = next(waiting, None)
                if task is None:
                    return
                key = sha256(f"{place.staging}/{task.staged}".encode()).hexdigest()
                future = client.submit(make_one, task, place, key=f"make_one-{key}")
                running[future.key] = task
                done.add(future)

        give_out()
        for future in done:
            task = running.pop(future.key)
            try:
                yield future.result()
            except KilledWorker:
                message = f"the workers that made it died, {DEATHS} of them or more"
                yield Outcome(
                    id=task.row.id, file=task.file, input=task.input, state="failed", message=message
                )
            future.release()
            give_out()

"""What every storage must do, as tests: subclass :class:`StorageConformance` in a test module of the plugin.

::

    class TestMyStorage(StorageConformance):
        def make_storage(self, settings):
            return MyStorage(settings)

``make_storage`` is called again with the same settings for a restart, after the job store was closed: what was kept
must be there again. A storage that has only some of the stores subclasses their classes (:class:`FileConformance`,
:class:`ModelConformance`, :class:`UserConformance`, :class:`JobConformance`) in the same way.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import pytest

from ..errors import BadInput, Conflict, Forbidden, InvalidPath, NotFound
from ..events import Event, ExecutionStarted, JobFinished, JobQueued, NodeOutput, NodePlace, NumberedEvent
from ..jobs import Job, JobState, Outcome
from ..settings import HttpSettings, PathSettings, Settings
from ..storage import FileRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ..json_types import Json
    from ..storage import FileStore, JobStore, ModelStore, Storage, UserStore

OUTSIDE = ["../x.png", "/etc/passwd", "a/../../x.png", "C:\\x.png", "..\\x.png", "\u2025/x.png", "\uff0e\uff0e/x.png"]
"""Paths that leave their folder, on some system or after normalisation."""
NO_NAMES = ["", ".", "..", "a/b.png", "a\\b.png", "nul\0.png", "line\n.png", "x" * 300, "\u2025", "...", "\ud800.png"]
"""Texts that can't be the name of a file."""
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
WAITING = (JobState.QUEUED,)

P = ParamSpec("P")
C = TypeVar("C")


def in_loop(test: Callable[Concatenate[C, P], Awaitable[None]]) -> Callable[Concatenate[C, P], None]:
    """Run an asynchronous test in an event loop of its own, whatever plugins pytest has."""

    @functools.wraps(test)
    def run(self: C, /, *args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(self, *args, **kwargs)

        asyncio.run(main())

    return run


class _Conformance:
    def make_storage(self, settings: Settings) -> Storage:
        """The storage under test."""
        raise NotImplementedError

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(paths=PathSettings(base=str(tmp_path / "base")))

    @pytest.fixture
    def storage(self, settings: Settings) -> Storage:
        return self.make_storage(settings)


class FileConformance(_Conformance):
    """Tests of a ``FileStore``."""

    @pytest.fixture
    def files(self, storage: Storage) -> FileStore:
        return storage.files

    def test_a_file_is_read_as_it_was_written(self, files: FileStore) -> None:
        ref = files.write(FileRef("a b \u00e4.png", "sub/deep", "input"), b"data")
        assert ref == FileRef("a b \u00e4.png", "sub/deep", "input")
        with files.open(ref) as file:
            assert file.read() == b"data"
        assert files.local_path(ref).read_bytes() == b"data"
        assert files.info(ref).size == 4
        files.write(ref, b"other")
        assert files.local_path(ref).read_bytes() == b"other"
        files.delete(ref)
        for ask in (files.open, files.info, files.local_path, files.delete):
            with pytest.raises(NotFound):
                ask(ref)

    def test_kinds_are_apart(self, files: FileStore) -> None:
        files.write(FileRef("a.png", "", "temp"), b"1")
        with pytest.raises(NotFound):
            files.info(FileRef("a.png", "", "output"))

    def test_without_overwriting_a_taken_name_gets_a_number(self, files: FileStore) -> None:
        def write(name: str, data: bytes) -> str:
            return files.write(FileRef(name, "", "input"), data, overwrite=False).filename

        assert [write("x.tar.gz", data) for data in (b"1", b"2", b"3", b"2", b"1")] == [
            "x.tar.gz",
            "x.tar (1).gz",
            "x.tar (2).gz",
            "x.tar (1).gz",
            "x.tar.gz",
        ]
        assert [write("plain", data) for data in (b"1", b"2")] == ["plain", "plain (1)"]

    def test_numbers_go_on_after_the_highest(self, files: FileStore) -> None:
        assert files.numbered("img", "output").counter == 1
        for name in ("img_00041_.png", "img_00007_.webp", "img2_00099_.png", "img_x_.png", "img_00050.png"):
            files.write(FileRef(name), b"")
        place = files.numbered("img", "output")
        assert files.write_numbered(place, ".png", b"1") == FileRef("img_00042_.png")
        assert files.write_numbered(place, ".png", b"2") == FileRef("img_00043_.png")
        files.write(FileRef("img_99999_.png"), b"")
        assert files.write_numbered(files.numbered("img", "output"), ".png", b"") == FileRef("img_100000_.png")

    def test_numbers_of_a_batch(self, files: FileStore) -> None:
        place = files.numbered("sub/b%batch_num%", "temp")
        refs = [files.write_numbered(place, ".png", b"", offset=i, batch_number=i) for i in range(2)]
        assert refs == [FileRef("b0_00001_.png", "sub", "temp"), FileRef("b1_00002_.png", "sub", "temp")]
        assert files.numbered("sub/b%batch_num%", "temp").counter == 3

    def test_tokens_in_a_prefix(self, files: FileStore) -> None:
        place = files.numbered("%width%x%height%/%year%-%month%_%date:yyyy%_%Node.w%", "output", width=12, height=6)
        assert place.subfolder == "12x6"
        year, rest = place.filename.split("-")
        assert (int(year) > 2000, rest[:2].isdigit(), rest[2:]) == (True, True, "_%date:yyyy%_%Node.w%")

    @pytest.mark.parametrize("path", OUTSIDE)
    def test_no_way_outside(self, files: FileStore, path: str) -> None:
        with pytest.raises(InvalidPath):
            files.numbered(path, "output")
        with pytest.raises(InvalidPath):
            files.parse(path)
        folder = path.replace("\\", "/").rsplit("/", 1)[0] or "/"
        for ask in (files.open, files.info, files.local_path, files.delete, lambda ref: files.write(ref, b"")):
            with pytest.raises(Forbidden):
                ask(FileRef("x.png", folder, "input"))

    @pytest.mark.parametrize("name", NO_NAMES)
    def test_names_that_are_none(self, files: FileStore, name: str) -> None:
        for ask in (files.open, files.info, files.local_path, files.delete, lambda ref: files.write(ref, b"")):
            with pytest.raises(InvalidPath):
                ask(FileRef(name, "", "input"))

    def test_names_in_node_inputs(self, files: FileStore) -> None:
        assert files.parse("a.png") == FileRef("a.png", "", "input")
        assert files.parse("s/t/a.png [output]") == FileRef("a.png", "s/t", "output")
        assert files.parse("a.png [temp]", "output") == FileRef("a.png", "", "temp")
        assert files.parse("a[input].png") == FileRef("a[input].png", "", "input")
        with pytest.raises(InvalidPath):
            files.parse("[input]")

    def test_lists(self, files: FileStore) -> None:
        assert list(files.list("output")) == []
        files.write(FileRef("a.png", "s"), b"1")
        files.write(FileRef("b.png"), b"22")
        assert [(info.ref, info.size) for info in files.list("output")] == [(FileRef("b.png"), 2)]
        listed = list(files.list("output", recursive=True))
        assert {info.ref for info in listed} == {FileRef("a.png", "s"), FileRef("b.png")}
        assert [info.modified for info in listed] == sorted((info.modified for info in listed), reverse=True)

    def test_temporary_files_go(self, files: FileStore) -> None:
        files.write(FileRef("a.png", "s", "temp"), b"1")
        files.write(FileRef("b.png"), b"1")
        files.clear_temporary()
        assert list(files.list("temp", recursive=True)) == []
        assert files.info(FileRef("b.png")).size == 1
        assert files.folder("temp")


class ModelConformance(_Conformance):
    """Tests of a ``ModelStore``."""

    @pytest.fixture
    def models(self, storage: Storage) -> ModelStore:
        return storage.models

    def test_the_folders_that_clients_know(self, models: ModelStore) -> None:
        assert models.folders()[:6] == [
            "checkpoints",
            "configs",
            "loras",
            "vae",
            "text_encoders",
            "diffusion_models",
        ]
        assert ".safetensors" in models.extensions("checkpoints")

    def test_models_of_two_roots(self, models: ModelStore, tmp_path: Path) -> None:
        for name in ("one/b.safetensors", "one/sub/a.ckpt", "one/no.txt", "two/b.safetensors", "two/C.SAFETENSORS"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(name.encode())
        roots = len(models.roots("checkpoints"))
        models.add_root("checkpoints", tmp_path / "one")
        models.add_root("checkpoints", tmp_path / "two")
        assert models.names("checkpoints") == ["C.SAFETENSORS", "b.safetensors", "sub/a.ckpt"]
        assert models.path("checkpoints", "b.safetensors").read_bytes() == b"one/b.safetensors"
        listed = [(file.name, file.folder_index - roots, file.size) for file in models.files("checkpoints")]
        assert listed == [("C.SAFETENSORS", 1, 17), ("b.safetensors", 0, 17), ("sub/a.ckpt", 0, 14)]
        models.add_root("checkpoints", tmp_path / "two", first=True)
        assert models.path("checkpoints", "b.safetensors").read_bytes() == b"two/b.safetensors"

    def test_what_is_not_there(self, models: ModelStore, tmp_path: Path) -> None:
        for ask in (models.names, models.files, models.roots, models.extensions):
            with pytest.raises(NotFound):
                ask("nope")
        with pytest.raises(NotFound):
            models.path("checkpoints", "nope.safetensors")
        models.add_root("nope", tmp_path)
        assert models.folders()[-1] == "nope"
        assert models.names("nope") == []

    @pytest.mark.parametrize("path", [*OUTSIDE, "", "nul\0"])
    def test_no_way_outside_of_models(self, models: ModelStore, path: str) -> None:
        with pytest.raises(InvalidPath):
            models.path("checkpoints", path)


class UserConformance(_Conformance):
    """Tests of a ``UserStore``."""

    @pytest.fixture
    def users(self, storage: Storage) -> UserStore:
        return storage.users

    def test_one_user(self, users: UserStore) -> None:
        assert users.users() == {"default": "default"}
        with pytest.raises(NotFound):
            users.settings("nobody")

    def test_settings(self, users: UserStore) -> None:
        assert users.settings("default") == {}
        values: dict[str, Json] = {"a": None, "b": {"x": [1, "\u00e4"]}}
        users.save_settings("default", values)
        users.save_settings("default", {"b": {"y": 2.5}})
        assert users.settings("default") == {"a": None, "b": {"y": 2.5}}

    def test_files(self, users: UserStore) -> None:
        info = users.write("default", "w/a.json", b"{}")
        assert (info.ref.filename, info.size) == ("w/a.json", 2)
        with pytest.raises(Conflict):
            users.write("default", "w/a.json", b"[1]", overwrite=False)
        users.write("default", "w/b/c.json", b"[]", overwrite=False)
        assert [each.ref.filename for each in users.list("default", "w")] == ["a.json"]
        assert [each.ref.filename for each in users.list("default", "w", recursive=True)] == ["a.json", "b/c.json"]
        assert users.list("default", "w/a.json") == []
        with pytest.raises(Conflict):
            users.move("default", "w/a.json", "w/b/c.json", overwrite=False)
        assert users.move("default", "w/a.json", "z.json").ref.filename == "z.json"
        assert users.read("default", "z.json") == b"{}"
        users.delete("default", "z.json")
        for ask in (users.read, users.delete, lambda user, path: users.move(user, path, "q")):
            with pytest.raises(NotFound):
                ask("default", "z.json")
        with pytest.raises(NotFound):
            users.list("default", "nothing")

    @pytest.mark.parametrize("path", [*OUTSIDE, "nul\0"])
    def test_no_way_outside_of_a_user(self, users: UserStore, path: str) -> None:
        users.write("default", "a", b"")
        for ask in (users.read, users.delete, users.list, lambda user, path: users.write(user, path, b"")):
            with pytest.raises(InvalidPath):
                ask("default", path)
        with pytest.raises(InvalidPath):
            users.move("default", "a", path)
        assert users.read("default", "a") == b""

    def test_several_users(self, settings: Settings) -> None:
        settings.http = HttpSettings(multi_user=True)
        users = self.make_storage(settings).users
        assert users.users() == {}
        one, two = users.add_user("An n"), users.add_user("Ben")
        assert users.users() == {one: "An n", two: "Ben"}
        assert one.startswith("An-n_")
        users.save_settings(one, {"k": 1})
        assert users.settings(two) == {}
        with pytest.raises(Conflict):
            users.add_user("Ben")
        with pytest.raises(BadInput):
            users.add_user("  ")
        assert self.make_storage(settings).users.settings(one) == {"k": 1}


def new_job(prompt_id: str, number: float = 0, *, user: str = "default", key: str | None = None) -> Job:
    """A job with something in every field that a client fills."""
    graph: dict[str, dict[str, Json]] = {"1": {"class_type": "X", "inputs": {"seed": 2**64 - 1, "text": "\u732b"}}}
    return Job(
        prompt_id=prompt_id,
        number=number,
        graph=graph,
        extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}},
        secrets={"api_key_comfy_org": "s"},
        outputs_to_execute=["1"],
        client_id="c",
        user=user,
        idempotency_key=key,
        request_digest="d",
        created_ms=1_700_000_000_000,
    )


async def run_to_end(jobs: JobStore, prompt_id: str, ended_ms: int) -> None:
    """Add a job, start it and end it."""
    await jobs.add(new_job(prompt_id))
    await jobs.start(prompt_id, worker="w", attempts=1, started_ms=ended_ms - 1)
    await jobs.finish(prompt_id, Outcome(status="done"), ended_ms=ended_ms)


def ids(jobs: list[Job]) -> list[str]:
    """The ids of some jobs."""
    return [job.prompt_id for job in jobs]


class JobConformance(_Conformance):
    """Tests of a ``JobStore``."""

    @asynccontextmanager
    async def opened(self, settings: Settings) -> AsyncIterator[JobStore]:
        """The job store, as after a start of the server."""
        jobs = await self.make_storage(settings).open_jobs()
        try:
            yield jobs
        finally:
            await jobs.close()

    @in_loop
    async def test_a_job_survives_a_restart(self, settings: Settings) -> None:
        async with self.opened(settings) as jobs:
            added = await jobs.add(new_job("a", 1.5, user="u", key="k"))
            assert added.sequence > 0
        async with self.opened(settings) as jobs:
            assert await jobs.get("a") == added
            assert await jobs.get("b") is None
            assert (await jobs.add(new_job("b"))).sequence > added.sequence

    @in_loop
    async def test_order_of_the_queue(self, settings: Settings) -> None:
        async with self.opened(settings) as jobs:
            for id, number in (("late", 3), ("first", -2), ("tie 1", 1), ("tie 2", 1), ("run", 0)):
                await jobs.add(new_job(id, number))
            await jobs.start("run", worker="w", attempts=1, started_ms=5)
            assert ids(await jobs.unfinished()) == ["first", "run", "tie 1", "tie 2", "late"]
            running = await jobs.get("run")
            assert running is not None
            assert (running.state, running.worker, running.attempts, running.started_ms) == ("running", "w", 1, 5)
        async with self.opened(settings) as jobs:
            await jobs.requeue("run", attempts=1)
            queued = (await jobs.unfinished())[1]
            assert (queued.prompt_id, queued.state, queued.attempts) == ("run", "queued", 1)
            assert queued.secrets == {"api_key_comfy_org": "s"}

    @in_loop
    async def test_a_job_ends(self, settings: Settings) -> None:
        outcome = Outcome(
            status="failed",
            outputs={"2": {"images": [{"filename": "a.png"}]}},
            meta={"2": {"node_id": "2"}},
            messages=[("execution_start", {"prompt_id": "a"})],
            graph={"1": {"class_type": "X", "inputs": {}, "is_changed": [float("inf")]}},
            reason="broken",
        )
        async with self.opened(settings) as jobs:
            await jobs.add(new_job("a"))
            await jobs.start("a", worker="w", attempts=1, started_ms=1)
            await jobs.finish("a", outcome, ended_ms=7)
            await jobs.add(new_job("b"))
            await jobs.finish("b", Outcome(status="cancelled"), ended_ms=8)
        async with self.opened(settings) as jobs:
            job = await jobs.get("a")
            assert job is not None
            assert (job.state, job.outcome, job.ended_ms, job.secrets) == (JobState.FAILED, outcome, 7, {})
            assert await jobs.unfinished() == []
            with pytest.raises(Conflict):
                await jobs.start("a", worker="w", attempts=2, started_ms=9)
            with pytest.raises(Conflict):
                await jobs.finish("a", outcome, ended_ms=9)
            with pytest.raises(NotFound):
                await jobs.requeue("nobody", attempts=1)

    @in_loop
    async def test_one_id_one_job(self, settings: Settings) -> None:
        async with self.opened(settings) as jobs:
            await jobs.add(new_job("a", 1))
            await jobs.append_events("a", [NumberedEvent(1, JobQueued(prompt_id="a", number=1))])
            with pytest.raises(Conflict):
                await jobs.add(new_job("a", 2))
            assert await jobs.last_event_number("a") == 1
            await jobs.finish("a", Outcome(status="done"), ended_ms=1)
            again = await jobs.add(new_job("a", 2))
            assert (await jobs.unfinished()) == [again]
            assert await jobs.last_event_number("a") == 0
            assert await jobs.count_ended() == 0

    @in_loop
    async def test_one_key_one_job(self, settings: Settings) -> None:
        async with self.opened(settings) as jobs:
            await jobs.add(new_job("a", user="u", key="k"))
            with pytest.raises(Conflict):
                await jobs.add(new_job("b", user="u", key="k"))
            await jobs.add(new_job("c", user="v", key="k"))
            found = await jobs.by_idempotency_key("u", "k")
            assert found is not None
            assert found.prompt_id == "a"
            assert await jobs.by_idempotency_key("u", "other") is None
            assert await jobs.get("b") is None

    @in_loop
    async def test_history(self, settings: Settings) -> None:
        async with self.opened(settings) as jobs:
            for id, ended_ms in (("a", 10), ("b", 20), ("d", 20), ("c", 20), ("e", 30)):
                await run_to_end(jobs, id, ended_ms)
            await jobs.add(new_job("waits"))
        async with self.opened(settings) as jobs:
            assert ids(await jobs.ended()) == ["a", "b", "d", "c", "e"]
            assert ids(await jobs.ended(limit=2, newest_first=True)) == ["e", "c"]
            assert ids(await jobs.ended(offset=3)) == ["c", "e"]
            assert ids(await jobs.ended(limit=2, offset=1)) == ["b", "d"]
            assert await jobs.ended(limit=0) == await jobs.ended(offset=9) == await jobs.ended(user="u") == []
            assert (await jobs.count_ended(), await jobs.count_ended(user="u")) == (5, 0)
            assert await jobs.trim(keep_jobs=2) == 3
            assert ids(await jobs.ended()) == ["c", "e"]
            assert ids(await jobs.unfinished()) == ["waits"]

    @in_loop
    async def test_history_is_filtered_and_sorted(self, settings: Settings) -> None:
        ends: tuple[tuple[str, str | None, JobState, int, int], ...] = (
            ("a", "w", JobState.DONE, 5, 30),
            ("b", None, JobState.FAILED, 10, 20),
            ("c", "v", JobState.DONE, 1, 10),
        )
        async with self.opened(settings) as jobs:
            for id, workflow, state, started_ms, ended_ms in ends:
                job = new_job(id)
                job.extra_data = {} if workflow is None else {"extra_pnginfo": {"workflow": {"id": workflow}}}
                await jobs.add(job)
                await jobs.start(id, worker="w", attempts=1, started_ms=started_ms)
                await jobs.finish(id, Outcome(status=state.value), ended_ms=ended_ms)  # type: ignore[arg-type]
            await jobs.add(new_job("never begun"))
        async with self.opened(settings) as jobs:
            assert ids(await jobs.ended()) == ["c", "b", "a"]
            assert ids(await jobs.ended(order="creation")) == ["a", "b", "c"]
            assert ids(await jobs.ended(order="creation", newest_first=True, limit=1, offset=1)) == ["b"]
            assert ids(await jobs.ended(order="duration")) == ["c", "b", "a"]
            assert ids(await jobs.ended(states=(JobState.DONE,), order="creation")) == ["a", "c"]
            assert ids(await jobs.ended(states=(JobState.FAILED, JobState.CANCELLED))) == ["b"]
            assert await jobs.ended(states=()) == await jobs.ended(states=WAITING) == []
            assert ids(await jobs.ended(workflow_id="v")) == ["c"]
            assert await jobs.ended(workflow_id="v", states=(JobState.FAILED,)) == []
            keys = await jobs.ended_keys(order="creation", newest_first=True, limit=2)
            assert [(key.prompt_id, key.started_ms, key.ended_ms) for key in keys] == [("c", 1, 10), ("b", 10, 20)]
            assert keys[0].sequence > keys[1].sequence
            counts = [await jobs.count_ended(states=(JobState.DONE,)), await jobs.count_ended(workflow_id="w")]
            assert [*counts, await jobs.count_ended(workflow_id="")] == [2, 1, 0]

    @in_loop
    async def test_removing(self, settings: Settings) -> None:
        async with self.opened(settings) as jobs:
            for id in ("a", "b"):
                await run_to_end(jobs, id, 1)
            for id, user in (("run", "u"), ("w1", "u"), ("w2", "v")):
                await jobs.add(new_job(id, user=user))
            await jobs.start("run", worker="w", attempts=1, started_ms=1)
            assert await jobs.remove(["w1", "run", "nobody", "a"], states=WAITING) == ["w1"]
            assert await jobs.remove(["a", "run"], states=ENDED) == ["a"]
            assert await jobs.remove_all(states=WAITING, user="u") == 0
            assert await jobs.remove_all(states=WAITING) == 1
            assert await jobs.remove_all(states=ENDED) == 1
            assert ids(await jobs.unfinished()) == ["run"]

    @in_loop
    async def test_events_are_replayed(self, settings: Settings) -> None:
        events: list[Event] = [
            JobQueued(prompt_id="a", number=1.0),
            ExecutionStarted(prompt_id="a", worker="w"),
            NodeOutput(prompt_id="a", place=NodePlace("1", "1"), output={"text": ["\u732b", float("inf")]}),
        ]
        numbered = [NumberedEvent(number, event) for number, event in enumerate(events, start=1)]
        last = NumberedEvent(5, JobFinished(prompt_id="a", status="done"))
        async with self.opened(settings) as jobs:
            await jobs.add(new_job("a"))
            await jobs.append_events("a", numbered)
            await jobs.append_events("a", [numbered[1], last])
            await jobs.append_events("nobody", numbered)
        async with self.opened(settings) as jobs:
            assert [each async for each in jobs.events("a")] == [*numbered, last]
            assert [each async for each in jobs.events("a", since=2)] == [numbered[2], last]
            assert [each async for each in jobs.events("nobody")] == []
            assert (await jobs.last_event_number("a"), await jobs.last_event_number("nobody")) == (5, 0)
            await jobs.finish("a", Outcome(status="done"), ended_ms=1)
            await jobs.remove(["a"], states=ENDED)
            await jobs.add(new_job("a"))
            assert [each async for each in jobs.events("a")] == []

    @in_loop
    async def test_many_at_once(self, settings: Settings) -> None:
        async with self.opened(settings) as jobs:
            added = await asyncio.gather(*(jobs.add(new_job(f"j{i}", i % 3)) for i in range(60)))
            assert len({job.sequence for job in added}) == 60
            order = sorted(added, key=lambda job: (job.number, job.sequence))
            assert ids(await jobs.unfinished()) == ids(order)
            twice = await asyncio.gather(*(jobs.add(new_job("same")) for _ in range(5)), return_exceptions=True)
            assert sum(isinstance(each, Conflict) for each in twice) == 4


class StorageConformance(FileConformance, ModelConformance, UserConformance, JobConformance):
    """Tests of a whole storage."""

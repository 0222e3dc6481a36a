"""What must be true when a run is over, whatever happened in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from act.states import CEJOB, Machine
from act_atlas.states import PANDAJOB
from tests.faults import operated, person
from tests.faults.scene import Scene, Want


def judge(scene: Scene, *, may_lose: bool) -> None:
    """Every job ran as often as it should, ended right, was reported and cleaned up, and its history is sound."""
    archived = scene.archived()
    lost = set(scene.wanted) - set(archived)
    assert may_lose or not lost, f"jobs that the tower does not know: {lost}"
    executions = scene.executions("executions_by_panda_id")
    for pandaid, story in scene.stories().items():
        want = Want("", "", "failed", runs=0, log=False) if pandaid in lost else scene.wanted[pandaid]
        told = f"job {pandaid} ({want.queue} {want.kind}): {story['history']}"
        assert (len(story["executions"]), executions.get(str(pandaid), 0)) == (want.runs, want.runs), told
        assert story["status"] in want.end.split(), told
        if pandaid not in lost:
            _judge_history(archived[pandaid])
            _judge_logs(scene, archived[pandaid].queue, pandaid, want)
    person.judge(scene.directory, scene.executions("executions"))
    if scene.plan.operated:
        operated.judge(scene)
    assert scene.counted() == [(0, 0, 0)]
    stored = sorted(p.name for p in scene.storage.rglob("*") if p.is_file())
    assert stored == sorted(_outputs(archived, scene)), "the storage has what finished jobs made, and nothing else"
    left = [p for p in (scene.directory / "store").rglob("*") if p.is_file() and "cric" not in p.parts]
    assert not [p for p in left if not p.name.startswith(".")], f"left in the store: {left}"


def _outputs(archived: Mapping[int, Any], scene: Scene) -> list[str]:
    """The outputs of all finished jobs that the tower spoke for."""
    return [o[0] for i, row in archived.items() if scene.wanted[i].end == "finished" for o in row.history["outputs"]]


def _judge_logs(scene: Scene, queue: str, pandaid: int, want: Want) -> None:
    found = {p.suffix for p in (scene.directory / "joblog").glob(f"*/{queue}/{pandaid}.*")}
    expected = {".jdl", ".out", ".log"} if want.log else {".jdl"}
    assert expected <= found, f"job {pandaid} has only {found} in the joblog"


def _judge_history(row: Any) -> None:
    """The events are a way through the state machines, from the start to the end."""
    assert row.state in PANDAJOB.final
    _judge_events(row.history["job"]["events"], PANDAJOB, row.external_id)
    for attempt in row.history["attempts"]:
        _judge_events(attempt["events"], CEJOB, f"{row.external_id}, attempt {attempt['attempt']}")


def _judge_events(told: Sequence[Sequence[Any]], machine: Machine, what: str) -> None:
    state = machine.initial
    for _, source, event, target, who, _ in told:
        step = machine.step(source, event)
        noted = source == target  # the insertion, or a wish that has to wait
        assert source == state, f"{what}: {event} of {who} in {source}, but it was {state}: {told}"
        assert noted or (step is not None and step.target == target), f"{what}: {source} -{event}-> {target}"
        state = target
    assert state in machine.final, f"{what} ended in {state}"

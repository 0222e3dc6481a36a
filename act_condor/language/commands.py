"""What is known of commands that a submit description for the tower cannot have, or need not."""

from __future__ import annotations

_CE = "CEs are chosen with --ce when the job is submitted, not in its description"
_AGAIN = "the tower decides what becomes of a job that fails; resubmit it yourself with 'actcli resub'"
_OURS = "that is between the tower and HTCondor: leave it out"
_VANILLA = "only jobs of the vanilla universe are possible: leave it out"
_WHEN = "jobs start as soon as there is room: leave it out"

# Names that other names of the same command stand for.
ALIASES = {
    "args": "arguments", "env": "environment", "stdout": "output", "stderr": "error", "stdin": "input",
    "initial_dir": "initialdir", "requestcpus": "request_cpus", "requestmemory": "request_memory",
    "requestdisk": "request_disk", "prio": "priority", "transferinputfiles": "transfer_input_files",
    "transferoutputfiles": "transfer_output_files", "job_batch_name": "batch_name",
    "jobbatchname": "batch_name", "+jobbatchname": "batch_name",
    "+maxruntime": "max_runtime", "+maxmemory": "request_memory", "+xcount": "request_cpus",
    "+requestcpus": "request_cpus", "+requestmemory": "request_memory",
}  # fmt: skip

# Commands that may have one meaning only, as there is no other: values -> what to do instead.
FIXED = {
    "universe": (("vanilla", "5"), _VANILLA),
    "should_transfer_files": (("yes", "if_needed"), "files are always transferred"),
    "when_to_transfer_output": (("on_exit",), "files come back when the job has ended: use ON_EXIT"),
    "notification": (("never",), "the tower sends no mail; see 'actcli stat'"),
    "getenv": (("false",), "that would be the environment of the tower, not yours: use environment"),
    "hold": (("false",), "jobs cannot be submitted on hold"),
    "stream_output": (("false",), "use 'actcli cat -f' to see it while the job runs"),
    "stream_error": (("false",), "use 'actcli cat -f' to see it while the job runs"),
    "use_x509userproxy": (("true", "false"), "say true or false"),
}

# Commands that are of no concern here, as the tower keeps such a record itself.
IGNORED = frozenset({"log", "log_xml", "notify_user", "description", "submit_event_notes"})

_REFUSED = {
    "requirements": _CE, "rank": _CE, "grid_resource": _CE, "batch_queue": _CE, "+queue": _CE, "+remote_queue": _CE,
    "x509userproxy": "the tower uses the proxy that you gave it with 'actcli proxy': leave it out",
    "max_retries": _AGAIN, "retry_until": _AGAIN, "success_exit_code": _AGAIN, "leave_in_queue": _OURS,
    "next_job_start_delay": _OURS, "job_lease_duration": _OURS, "nice_user": "use priority, from 0 to 100",
    "accounting_group": _OURS, "accounting_group_user": _OURS, "concurrency_limits": _OURS, "max_idle": _OURS,
    "max_materialize": _OURS, "request_gpus": "use a CE that has them",
    "transfer_output_remaps": "files keep their names: give them the right ones in the job",
    "output_destination": "outputs are brought to you: send them elsewhere in the job",
    "preserve_relative_paths": "files in directories keep their place: leave it out",
    "transfer_plugins": "inputs can be URLs that the CE knows how to fetch: leave it out",
    "container_image": _VANILLA, "append_files": _OURS, "tool_daemon_cmd": _OURS, "run_as_owner": _OURS,
}  # fmt: skip
_FAMILIES = {
    "periodic_": _AGAIN, "on_exit_": _AGAIN, "cron_": _WHEN, "deferral_": _WHEN, "docker_": _VANILLA,
    "container_": _VANILLA, "vm_": _VANILLA, "java_": _VANILLA, "ec2_": _VANILLA, "gce_": _VANILLA,
    "azure_": _VANILLA, "checkpoint_": _OURS, "remote_": _OURS, "encrypt_": _OURS, "dont_encrypt_": _OURS,
    "kill_": _OURS, "load_profile": _OURS, "arc_": "only arc_rte can be said",
}  # fmt: skip


def refusal(name: str) -> str:
    """Why there can be no such command, and what to do; "" for names that are not known."""
    family = next((why for start, why in _FAMILIES.items() if name.startswith(start)), "")
    return _REFUSED.get(name) or family

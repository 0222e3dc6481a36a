"""Why a job, a CE or a queue is as it is: `ask` reads the facts of one moment, pure functions make sentences of them.

An explanation is a `act.explain.story.Story`; applications tell what only they know (`Operations.explain`).
"""

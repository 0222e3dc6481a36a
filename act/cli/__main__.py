"""``python -m act.cli``: actctl, also where its script is not in the PATH."""

from act.cli.actctl import main

main(prog_name="actctl")

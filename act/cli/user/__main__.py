"""``python -m act.cli.user``: actcli, also where its script is not in the PATH."""

from act.cli.user.main import main

main(prog_name="actcli")

"""The demonstration: the whole main job on one machine, from a local PanDA through real daemons to two CEs and back."""

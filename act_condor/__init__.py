"""HTCondor as a CE type: through a schedd here to HTCondor-CEs and other pools, or straight to an HTCondor-CE."""

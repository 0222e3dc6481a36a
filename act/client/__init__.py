"""Generic jobs: what people submit by themselves, from the person to the attempts at CEs."""
